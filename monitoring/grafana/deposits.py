"""Deposits and the API, and how the daemon itself is."""

from __future__ import annotations

from typing import Final

from monitoring.grafana.asking import lines, of, stat
from monitoring.grafana.model import ANY_IS_BAD, DAY, GREEN, RED, YELLOW, Board, Query

BOARD: Final = Board(
    "deposits",
    "Tiếp nhận và API",
    "Deposits and the API, and how the daemon itself is.",
    (
        stat(1, "Đang nhận", "Deposits under way.", f"sum({of('vault_deposits_open')})"),
        stat(2, "Lỗi trong 24 giờ", "Deposits that the node could not take in, although they were in order.",
             f"sum(increase({of('vault_deposits_total', outcome='failed')}[24h]))", steps=ANY_IS_BAD,
             runbook="deposits-fail"),
        stat(3, "Biên nhận còn nợ", "Stored deposits that have no receipt yet.", f"sum({of('vault_receipts_pending')})",
             steps=((None, GREEN), (100, YELLOW)), runbook="deposits-fail"),
        stat(4, "Biên nhận chờ lâu nhất", "Since when a deposit has waited for its receipt.",
             f"time() - min({of('vault_receipts_oldest_pending_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (3600, YELLOW), (DAY, RED)), runbook="deposits-fail",
             may_be_empty="no deposit waits for a receipt"),
        stat(5, "Mã truy cập (token) hết hạn sau", "When the first token ends that is in use.",
             f"min({of('vault_token_next_expiry_timestamp_seconds')}) - time()", unit="s",
             steps=((None, RED), (7 * DAY, YELLOW), (14 * DAY, GREEN)), runbook="a-token-ends-soon",
             may_be_empty="no token in use ever ends"),
        stat(6, "Chứng chỉ hết hạn sau", "When the certificate of the API ends.",
             f"min({of('vault_api_certificate_expiry_timestamp_seconds')}) - time()", unit="s",
             steps=((None, RED), (14 * DAY, YELLOW), (30 * DAY, GREEN)), runbook="the-certificate-ends-soon",
             may_be_empty="the API speaks no TLS"),
        lines(7, "Nộp hồ sơ theo kết quả", "Deposits that ended, by outcome, each minute.",
              Query(f"60 * sum by (outcome) (rate({of('vault_deposits_total')}[$__rate_interval]))", "{{outcome}}"),
              runbook="deposits-fail"),
        lines(8, "Dữ liệu nhận vào", "Bytes received each second, by the outcome of their deposit.",
              Query(f"sum by (outcome) (rate({of('vault_deposit_bytes_total')}[$__rate_interval]))", "{{outcome}}"),
              unit="Bps"),
        lines(9, "Tác vụ theo loại và trạng thái", "Work that was derived.",
              Query(f"sum by (kind, state) ({of('vault_tasks', state='~ready|running|failed')})",
                    "{{kind}} {{state}}"), runbook="work-does-not-move"),
        lines(10, "Sự kiện nhật ký mỗi phút", "Events in the ledger.",
              Query(f"60 * rate({of('vault_ledger_events_total')}[$__rate_interval])", "{{instance}}")),
        stat(11, "Nhật ký ký lần cuối", "How long ago the end of the ledger was signed.",
             f"time() - min({of('vault_ledger_last_checkpoint_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (2 * DAY, YELLOW), (3 * DAY, RED)), runbook="the-ledger-is-not-signed", width=6),
        stat(12, "Số ổ giữ chữ ký gần nhất", "Volumes that took the last checkpoint.",
             f"min({of('vault_ledger_last_checkpoint_volumes')})", steps=((None, RED), (1, YELLOW), (2, GREEN)),
             runbook="the-ledger-is-not-signed", width=6),
        stat(13, "Nhật ký kiểm chứng lần cuối", "How long ago the whole ledger was proved.",
             f"time() - min({of('vault_ledger_last_proof_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (2 * DAY, YELLOW), (4 * DAY, RED)), runbook="the-ledger-does-not-hold", width=6),
        stat(14, "Thời gian chạy", "How long the daemon has been running.",
             f"time() - max({of('process_start_time_seconds')})", unit="s", width=6),
        lines(15, "Đọc danh mục cho scrape: mất bao lâu, cũ bao lâu", "How long reading the catalogue took, and how old"
              " what a scrape shows is; above 30 s it is shown no longer.",
              Query(of("vault_collector_duration_seconds"), "{{instance}} đọc"),
              Query(f"timestamp({of('vault_collector_up')}) - {of('vault_collector_read_timestamp_seconds')}",
                    "{{instance}} tuổi"), unit="s",
              steps=((None, GREEN), (15, YELLOW), (30, RED)), runbook="the-catalogue-does-not-answer"),
        lines(16, "Bộ nhớ và bộ xử lý", "Memory of the daemon, and how many processors it keeps busy.",
              Query(of("process_resident_memory_bytes"), "{{instance}} bộ nhớ"),
              Query(f"1e9 * rate({of('process_cpu_seconds_total')}[$__rate_interval])", "{{instance}} CPU (nano)"),
              unit="decbytes"),
        lines(17, "Tải lên dở dang", "Resumable deposits that hold bytes or may.",
              Query(of("vault_uploads_open"), "{{instance}}"), width=8),
        lines(18, "Dữ liệu tải lên dở dang", "Bytes that have come of them and wait to be taken in.",
              Query(of("vault_uploads_received_bytes"), "{{instance}}"), unit="decbytes", width=8),
        lines(19, "Báo lại cho phần mềm nộp", "Attempts to tell a depositor's program how its deposit ended, each"
              " minute, and those that are still to be told.",
              Query(f"60 * sum by (outcome) (rate({of('vault_callbacks_total')}[$__rate_interval]))", "{{outcome}}"),
              Query(f"sum({of('vault_callbacks_pending')})", "chờ báo"), width=8),
        stat(20, "Chưa báo được từ", "Since when a program could not be told.",
             f"time() - min({of('vault_callbacks_oldest_attempt_timestamp_seconds')})", unit="s",
             steps=((None, GREEN), (3600, YELLOW), (4 * 3600, RED)), runbook="a-program-is-not-told",
             may_be_empty="every program has been told"),
    ),
)  # fmt: skip
"""The board."""
