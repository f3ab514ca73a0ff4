"""Volumes and what they stand on: file systems, arrays, disks."""

from __future__ import annotations

from typing import Final

from monitoring.grafana.asking import bars, lines, of, stat, table
from monitoring.grafana.model import (
    ANY_IS_BAD,
    ANY_IS_ODD,
    DAY,
    GREEN,
    ONE_IS_GOOD,
    RED,
    YELLOW,
    Board,
    Query,
    Variable,
)

_NO_ARRAY: Final = "the machine has no array"

_THERE: Final = "unless on (job, instance, serial) vault_disk_present == 0"

_V: Final = "~$volume"
_S: Final = "~$serial"

BOARD: Final = Board(
    "disks",
    "Ổ lưu trữ và ổ đĩa",
    "Volumes and what they stand on: file systems, arrays, disks. A disk is known by its serial number.",
    (
        stat(1, "Ổ đĩa hỏng hoặc đang hỏng", "Disks that have failed or are failing.",
             f"count({of('vault_disk_verdict', verdict='~failing|failed')} {_THERE}) or vector(0)", steps=ANY_IS_BAD,
             runbook="a-disk-is-failing", width=6),
        stat(2, "Ổ đĩa cần theo dõi", "Disks that count what should stay at 0, or are near a limit.",
             f"count({of('vault_disk_verdict', verdict='watch')} {_THERE}) or vector(0)", steps=ANY_IS_ODD,
             runbook="a-disk-is-to-be-watched", width=6),
        stat(3, "Ổ đĩa chưa rõ", "Disks that nobody knows about. Unknown is not healthy.",
             f"count({of('vault_disk_verdict', verdict='unknown')} {_THERE}) or vector(0)", steps=ANY_IS_ODD,
             runbook="nobody-knows-how-a-disk-is", width=6),
        stat(4, "Báo cáo ổ đĩa còn mới", "Whether what the helper wrote says something of now.",
             f"min({of('vault_disk_report_fresh')})", steps=ONE_IS_GOOD, words=(("0", "KHÔNG"), ("1", "có")),
             runbook="nobody-knows-how-a-disk-is", width=6),
        table(5, "Ổ đĩa và kết luận", "Every disk with its verdict and model.",
              Query(f"{of('vault_disk_verdict', serial=_S)} * on (job, instance, serial) group_left (model, protocol)"
                    " vault_disk_info"), width=16, hidden=("Value",), runbook="a-disk-is-failing"),
        table(6, "Ổ đĩa nào dưới ổ lưu trữ nào", "Which volumes stand on which disks.",
              Query(of("vault_disk_volume", serial=_S)), width=8, hidden=("Value",)),
        lines(7, "Nhiệt độ", "Temperatures of the disks; their own limits are in the next panel.",
              Query(of("vault_disk_temperature_celsius", serial=_S), "{{serial}}"), unit="celsius",
              steps=((None, GREEN), (55, YELLOW), (65, RED)), runbook="a-disk-is-to-be-watched"),
        bars(8, "Nhiệt độ so với giới hạn của chính ổ", "Share of the critical temperature that the drive gives.",
             f"{of('vault_disk_temperature_celsius', serial=_S)} / on (job, instance, serial)"
             f" {of('vault_disk_temperature_limit_celsius', serial=_S, limit='critical')}", "{{serial}}",
             steps=((None, GREEN), (0.85, YELLOW), (0.95, RED)), runbook="a-disk-is-to-be-watched"),
        lines(9, "Lỗi đếm được", "What disks count that should stay at 0.",
              Query(f"{of('vault_disk_errors', serial=_S)} > 0", "{{serial}} {{counter}}"), steps=ANY_IS_ODD,
              runbook="a-disk-is-to-be-watched", may_be_empty="no disk has counted an error"),
        lines(10, "Lỗi tăng trong 7 ngày", "Growth says more than the value.",
              Query(f"delta({of('vault_disk_errors', serial=_S)}[7d]) > 0", "{{serial}} {{counter}}"), steps=ANY_IS_BAD,
              runbook="a-disk-is-failing", may_be_empty="no error has grown"),
        bars(11, "Độ mòn ổ flash", "Share of a flash disk's endurance that is used.",
             of("vault_disk_endurance_used_ratio", serial=_S), "{{serial}}",
             steps=((None, GREEN), (0.8, YELLOW), (1, RED)), runbook="a-disk-is-to-be-watched",
             may_be_empty="there is no flash disk"),
        bars(12, "Vùng dự phòng còn lại (NVMe)", "Share of the spare capacity that is left.",
             of("vault_disk_spare_ratio", serial=_S), "{{serial}}",
             steps=((None, RED), (0.1, YELLOW), (0.5, GREEN)), may_be_empty="there is no NVMe disk"),
        bars(13, "Tuổi chạy máy", "How long each disk has been running in its life.",
             of("vault_disk_power_on_seconds", serial=_S), "{{serial}}", unit="s", most=None,
             steps=((None, GREEN), (5 * 365 * DAY, YELLOW), (8 * 365 * DAY, RED))),
        table(14, "Mảng đĩa", "Arrays and their state (md, ZFS, btrfs, LVM).",
              Query(of("vault_array_state")), hidden=("Value",), runbook="an-array-is-degraded",
              may_be_empty=_NO_ARRAY),
        lines(15, "Mảng đĩa: thành viên thiếu, chỗ không khớp, lỗi", "What arrays lack, and what their checks found.",
              Query(of("vault_array_missing_disks"), "{{array}} thiếu"),
              Query(of("vault_array_mismatches"), "{{array}} không khớp"),
              Query(of("vault_array_errors"), "{{array}} lỗi"), steps=ANY_IS_BAD, runbook="an-array-is-degraded",
              may_be_empty=_NO_ARRAY),
        lines(16, "Mảng đĩa: tiến độ đồng bộ", "How far a rebuild or a check is.",
              Query(of("vault_array_sync_ratio"), "{{array}}"), unit="percentunit",
              may_be_empty="no rebuild and no check is under way"),
        table(17, "Tình trạng ổ lưu trữ", "What the last probe saw.",
              Query(f"{of('vault_volume_condition', volume=_V)} == 1"), hidden=("Value",),
              runbook="a-volume-is-off-line"),
        table(18, "Hệ thống tệp trả lời thế nào", "As a child process found that may hang: well, slow, stale, hung.",
              Query(of("vault_volume_mount_state", volume=_V)), hidden=("Value",), runbook="a-volume-answers-badly"),
        lines(19, "Thời gian trả lời", "How long the file system of each volume took to answer.",
              Query(of("vault_volume_response_seconds", volume=_V), "{{volume}}"), unit="s",
              steps=((None, GREEN), (2, RED)), runbook="a-volume-answers-badly"),
        lines(20, "Dung lượng trống", "Free space of each volume.",
              Query(of("vault_volume_free_bytes", volume=_V), "{{volume}}"), unit="decbytes",
              runbook="a-volume-fills-up"),
        bars(21, "Số tệp (inode) còn trống", "Share of files that can still be made.",
             f"{of('vault_volume_free_files', volume=_V)} / {of('vault_volume_files', volume=_V)}", "{{volume}}",
             steps=((None, RED), (0.05, YELLOW), (0.2, GREEN)), runbook="a-volume-fills-up"),
        table(22, "Thiết bị đang cắm", "Devices that are plugged in, by what they are.", Query(of("vault_devices")),
              width=6, may_be_empty="a machine whose devices are not shown to it, such as a container"),
        lines(23, "Cắm và rút thiết bị", "Devices that came and went.",
              Query(f"increase({of('vault_device_events_total')}[$__rate_interval])", "{{role}} {{change}}"), width=18,
              may_be_empty="nothing was plugged in or out"),
        table(24, "Mảng đĩa: lần kiểm tra gần nhất", "How long ago a check of each array ended; those never seen to"
              " be checked are absent.", Query(f"time() - {of('vault_array_last_check_timestamp_seconds')}"),
              unit="s", runbook="an-array-is-degraded", may_be_empty="no check of an array was seen"),
        bars(25, "Sẽ đầy sau", "Time until the reserve of each volume is reached, at the intake of the last month.",
             f"{of('vault_volume_full_timestamp_seconds', volume=_V)} - time()", "{{volume}}", unit="s", most=None,
             steps=((None, RED), (30 * DAY, YELLOW), (180 * DAY, GREEN)), runbook="a-volume-fills-up",
             may_be_empty="nothing fills up, or less than a day is known"),
        bars(26, "Chạy máy từ lần tự kiểm tra gần nhất, so với chu kỳ", "How long each disk has been running since it"
             " tested itself, as a share of the interval that is asked for: at 2 it is overdue.",
             f"{of('vault_disk_self_test_age_seconds', serial=_S)} / on (job, instance, kind) group_left ()"
             f" {of('vault_disk_self_test_interval_seconds')}", "{{serial}} {{kind}}", most=None,
             steps=((None, GREEN), (1.2, YELLOW), (2, RED)), runbook="a-disk-does-not-test-itself",
             may_be_empty="no disk has tested itself, or none is to"),
        stat(27, "Tự kiểm tra không đạt", "Disks whose last self-test found something.",
             f"count({of('vault_disk_self_test_failed')} == 1) or vector(0)", steps=ANY_IS_BAD,
             runbook="a-disk-is-failing", width=6),
        table(28, "Ổ đĩa không còn", "Disks that were there and are not: until they are back, or vaultctl disks forget"
              " is told that they will not come.",
              Query(f"({of('vault_disk_present', serial=_S)} == 0) * 0 + on (job, instance, serial) group_left (model)"
                    " vault_disk_info"), width=18, hidden=("Value",), runbook="a-disk-is-gone",
              may_be_empty="every disk is there"),
    ),
    (
        Variable("volume", "Ổ lưu trữ", "vault_volume_info", "volume"),
        Variable("serial", "Số sê-ri ổ đĩa", "vault_disk_info", "serial"),
    ),
)  # fmt: skip
"""The board."""
