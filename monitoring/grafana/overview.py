"""For the head of the archive: is everything safe, is there room, what is to be done."""

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
)

BOARD: Final = Board(
    "overview",
    "Tổng quan kho lưu trữ",
    "For the head of the archive: is everything safe, is there room, what is to be done.",
    (
        stat(1, "Phiên bản thiếu bản sao", "Versions with fewer good copies than their policy asks for.",
             f"sum({of('vault_versions_below_policy')})", steps=ANY_IS_ODD, runbook="versions-below-policy"),
        stat(2, "Phiên bản không còn bản tốt", "Versions of which every copy is damaged or missing.",
             f"sum({of('vault_versions_without_good_copy')})", steps=ANY_IS_BAD, runbook="no-good-copy-left"),
        stat(3, "Bản sao hỏng hoặc mất", "Copies that were read back and are not what they must be.",
             f"sum({of('vault_copies', state='~damaged|missing')})", steps=ANY_IS_BAD, runbook="damaged-copies"),
        stat(4, "Ổ lưu trữ không truy cập được", "Volumes that do not answer, without those that were retired.",
             f"count({of('vault_volume_up')} == 0 unless on (job, instance, volume)"
             ' vault_volume_mode{mode="retired"} == 1) or vector(0)',
             steps=ANY_IS_BAD, runbook="a-volume-is-off-line"),
        stat(5, "Nhật ký nguyên vẹn", "Whether the whole chain of events held when it was last proved.",
             f"min({of('vault_ledger_intact')})", steps=ONE_IS_GOOD, words=(("0", "KHÔNG"), ("1", "có")),
             runbook="the-ledger-does-not-hold"),
        stat(6, "Lần đọc lại lâu nhất", "Age of the oldest proof: since when a copy has not been read back.",
             f"time() - min({of('vault_fixity_oldest_check_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (90 * DAY, YELLOW), (365 * DAY, RED)), runbook="verification-is-overdue"),
        stat(7, "Hồ sơ", "Packages.", f"sum({of('vault_packages')})"),
        stat(8, "Phiên bản", "Versions of packages.", f"sum({of('vault_versions')})"),
        stat(9, "Bản sao tốt", "Copies that were read back from their medium and found equal.",
             f"sum({of('vault_copies', state='good')})"),
        stat(10, "Dung lượng còn trống", "Free space on all disk volumes.",
             f"sum({of('vault_volume_free_bytes')})", unit="decbytes", runbook="a-volume-fills-up"),
        stat(11, "Biên nhận còn nợ", "Deposits that are stored and wait for their receipt.",
             f"sum({of('vault_receipts_pending')})", steps=((None, GREEN), (100, YELLOW)), runbook="deposits-fail"),
        stat(12, "Nút trả lời", "Whether Prometheus hears the nodes at all.", f"min({of('up')})", steps=ONE_IS_GOOD,
             words=(("0", "KHÔNG"), ("1", "có")), runbook="the-node-does-not-answer"),
        table(13, "Cảnh báo đang phát", "What fires now; the colour of nothing is good.",
              Query('ALERTS{alertstate="firing", alertname!="VaultWatchdog", instance=~"$instance|"}'),
              width=24, hidden=("Value", "alertstate"), may_be_empty="nothing is amiss"),
        bars(14, "Dung lượng đã dùng", "How full each volume is.",
             f"1 - {of('vault_volume_free_bytes')} / {of('vault_volume_size_bytes')}", "{{volume}}",
             steps=((None, GREEN), (0.8, YELLOW), (0.95, RED)), runbook="a-volume-fills-up"),
        lines(15, "Hồ sơ theo thời gian", "How the archive grows.",
              Query(f"sum({of('vault_packages')})", "hồ sơ"), Query(f"sum({of('vault_versions')})", "phiên bản")),
        bars(16, "Sức khỏe ổ lưu trữ", "What each volume stands on: 1 healthy or unknown, 2 to be watched, 3 failing or"
             " failed.", f"1 + max by (volume) ({of('vault_volume_health', health='watch')}) + 2 * max by (volume)"
             f" ({of('vault_volume_health', health='~failing|failed')})", "{{volume}}", unit="short", most=3,
             steps=((None, GREEN), (2, YELLOW), (3, RED)), runbook="a-disk-is-failing"),
        lines(17, "Cảnh báo theo mức độ", "How many alerts fired, by severity.",
              Query('count by (severity) (ALERTS{alertstate="firing", alertname!="VaultWatchdog"})', "{{severity}}"),
              may_be_empty="nothing was amiss"),
        stat(18, "Hệ thống cảnh báo hoạt động", "Whether the alert that always fires does.",
             'count(ALERTS{alertname="VaultWatchdog", alertstate="firing"})', steps=ONE_IS_GOOD, width=6,
             words=(("1", "có"),), runbook="the-alerting-is-silent"),
        stat(19, "Danh mục trả lời", "Whether the catalogue answered the last scrape.",
             f"min({of('vault_collector_up')})", steps=ONE_IS_GOOD, width=6,
             words=(("0", "KHÔNG"), ("1", "có")), runbook="the-catalogue-does-not-answer"),
        table(20, "Công việc định kỳ: lần thành công gần nhất", "How long ago each kind of scheduled work succeeded.",
              Query(f"time() - {of('vault_schedule_last_success_timestamp_seconds')}"), unit="s",
              runbook="scheduled-work-is-silent"),
    ),
    since="now-7d",
)  # fmt: skip
"""The board."""
