"""Tapes: libraries, drives, cartridges, and what waits for them."""

from __future__ import annotations

from typing import Final

from monitoring.grafana.asking import bars, lines, of, stat, table
from monitoring.grafana.model import ANY_IS_ODD, DAY, GREEN, ONE_IS_GOOD, RED, YELLOW, Board, Query

_NONE: Final = "the node has no tape library"
_NO_DRIVE: Final = "no drive has been used"

BOARD: Final = Board(
    "tapes",
    "Băng từ và thư viện băng",
    "Libraries, drives, cartridges, and what waits for them.",
    (
        stat(1, "Thư viện dùng được", "Whether every library can be used.", f"min({of('vault_tape_library_up')})",
             steps=ONE_IS_GOOD, words=(("0", "KHÔNG"), ("1", "có")), runbook="tape-cannot-be-used", may_be_empty=_NONE),
        stat(2, "Yêu cầu nạp băng", "Cartridges that are asked for.", f"sum({of('vault_tape_mount_requests')})",
             steps=ANY_IS_ODD, runbook="a-cartridge-is-asked-for", may_be_empty=_NONE),
        stat(3, "Yêu cầu chờ lâu nhất", "How long the oldest request has waited.",
             f"time() - min({of('vault_tape_mount_request_oldest_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (DAY, YELLOW), (3 * DAY, RED)), runbook="a-cartridge-is-asked-for",
             may_be_empty="no cartridge is asked for"),
        stat(4, "Nhóm hết băng trống", "Pools for which something waits, and no cartridge has room.",
             f"sum({of('vault_tape_pools_without_cartridge')})", steps=ANY_IS_ODD,
             runbook="a-cartridge-is-asked-for", may_be_empty=_NONE),
        stat(5, "Đang chờ ghi", "What waits to be written, as far as was looked.",
             f"sum({of('vault_tape_waiting_bytes')})", unit="decbytes", may_be_empty=_NONE),
        stat(6, "Yêu cầu lấy lại từ băng", "Recalls that wait or are read.", f"sum({of('vault_recalls')})",
             may_be_empty=_NONE),
        table(7, "Băng theo trạng thái", "Cartridges by what they are good for.",
              Query(f"{of('vault_tape_cartridges')} > 0"), width=8, runbook="a-cartridge-is-doubtful",
              may_be_empty=_NONE),
        table(8, "Băng ngoài thư viện", "Cartridges that were taken out (vaulted), or are not where they should be"
              " (offline).", Query(of("vault_tape_cartridges_outside")), width=8, may_be_empty=_NONE),
        lines(9, "Chờ ghi theo nhóm", "What waits for each pool.", Query(of("vault_tape_waiting_bytes"), "{{pool}}"),
              unit="decbytes", width=8, may_be_empty=_NONE),
        bars(10, "Chỗ trống trên từng băng", "Room that was left after the last session.",
             of("vault_tape_cartridge_free_bytes"), "{{volume}}", unit="decbytes", most=None, may_be_empty=_NONE),
        bars(11, "Số lần nạp băng", "How often this node loaded each cartridge.",
             of("vault_tape_cartridge_loads_total"), "{{volume}}", unit="short", most=None, may_be_empty=_NONE),
        lines(12, "Lỗi theo băng", "Errors that reading or writing a cartridge met.",
              Query(f"{of('vault_tape_cartridge_errors_total')} > 0", "{{volume}}"), steps=ANY_IS_ODD,
              may_be_empty="no cartridge met an error"),
        lines(13, "Lấy lại từ băng", "Recalls by state.", Query(of("vault_recalls"), "{{state}}"), may_be_empty=_NONE),
        table(14, "Ổ đọc băng", "The drives and the state that each is in.",
              Query(f"({of('vault_tape_drive_state')} == 1) * on (job, instance, serial) group_left (library, model)"
                    " vault_tape_drive_info"), hidden=("Value",), runbook="tape-cannot-be-used",
              may_be_empty=_NO_DRIVE),
        table(15, "Cờ TapeAlert", "When each drive last raised which flag.",
              Query(f"time() - {of('vault_tape_drive_alert_timestamp_seconds')}"), unit="s",
              runbook="a-tape-drive-complains", may_be_empty="no drive raised a flag"),
        table(16, "Cần làm sạch", "What each drive asks for; since when, where it asks.",
              Query(f"{of('vault_tape_drive_cleaning', need='!none')} == 1"),
              Query(f"time() - {of('vault_tape_drive_cleaning_asked_timestamp_seconds')}"), width=8,
              runbook="a-drive-asks-to-be-cleaned", may_be_empty="no drive asks to be cleaned"),
        stat(17, "Yêu cầu băng làm sạch", "Drives that ask to be cleaned while no cleaning cartridge can be used.",
             f"sum({of('vault_tape_cleaning_requests')})", steps=ANY_IS_ODD, width=8,
             runbook="a-drive-asks-to-be-cleaned", may_be_empty=_NONE),
        bars(18, "Băng làm sạch: số lần còn lại", "Uses that are left of each cleaning cartridge.",
             of("vault_tape_cartridge_cleaning_uses_left"), "{{volume}}", unit="short", most=None, width=8,
             steps=((None, RED), (3, YELLOW), (10, GREEN)), may_be_empty="there is no cleaning cartridge"),
        lines(19, "Tốc độ ghi băng", "Bytes written in a second of writing: below the drive's slowest speed the tape"
              " stops and goes back.",
              Query(f"rate({of('vault_tape_drive_written_bytes_total')}[$__rate_interval])"
                    f" / rate({of('vault_tape_drive_write_seconds_total')}[$__rate_interval])", "{{serial}}"),
              unit="Bps", may_be_empty="nothing was written to tape"),
        lines(20, "Tốc độ đọc băng", "Bytes read in a second of reading.",
              Query(f"rate({of('vault_tape_drive_read_bytes_total')}[$__rate_interval])"
                    f" / rate({of('vault_tape_drive_read_seconds_total')}[$__rate_interval])", "{{serial}}"),
              unit="Bps", may_be_empty="nothing was read from tape"),
        lines(21, "Lỗi của ổ đọc băng", "Errors that were met while a drive was used, and those that it counts itself.",
              Query(of("vault_tape_drive_errors_total"), "{{serial}}"),
              Query(of("vault_tape_drive_hard_errors_total"), "{{serial}} {{counter}}"), steps=ANY_IS_ODD,
              runbook="a-tape-drive-complains", may_be_empty=_NO_DRIVE),
        bars(22, "Giờ chạy của ổ đọc băng", "Time that tape ran over the heads.", of("vault_tape_drive_motion_seconds"),
             "{{serial}}", unit="s", most=None, may_be_empty="no drive tells of its hours"),
        bars(23, "Đến hạn chuyển băng", "Time until what is on a cartridge should be copied to a new one.",
             f"{of('vault_tape_cartridge_convert_timestamp_seconds')} - time()", "{{volume}}", unit="s", most=None,
             steps=((None, RED), (0, YELLOW), (180 * DAY, GREEN)), runbook="a-cartridge-is-doubtful",
             may_be_empty=_NONE),
        bars(24, "Đến hạn kiểm tra băng", "Time until a copy on the cartridge is to be checked.",
             f"{of('vault_tape_cartridge_due_timestamp_seconds')} - time()", "{{volume}}", unit="s", most=None,
             steps=((None, RED), (-7 * DAY, YELLOW), (0, GREEN)), may_be_empty=_NONE),
    ),
    since="now-7d",
)  # fmt: skip
"""The board."""
