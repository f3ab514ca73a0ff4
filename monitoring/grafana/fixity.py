"""Fixity and coverage: which copies there are, when they were read back, and whether that keeps up."""

from __future__ import annotations

from typing import Final

from monitoring.grafana.asking import bars, lines, of, stat, table
from monitoring.grafana.model import ANY_IS_BAD, ANY_IS_ODD, DAY, GREEN, RED, YELLOW, Board, Query, Variable

_V: Final = "~$volume"

BOARD: Final = Board(
    "fixity",
    "Kiểm chứng và số bản sao",
    "Which copies there are, when they were read back, and whether that keeps up with the policies.",
    (
        table(1, "Bản sao theo ổ và trạng thái", "Only good counts: read back from the medium, every digest equal.",
              Query(f"sum by (volume, state) ({of('vault_copies', volume=_V)}) > 0"), runbook="damaged-copies"),
        lines(2, "Thiếu bản sao theo lớp", "Versions below their policy, by class.",
              Query(of("vault_versions_below_policy"), "{{class}}"), steps=ANY_IS_ODD, runbook="versions-below-policy"),
        bars(3, "Tuổi của lần đọc lại lâu nhất", "For each volume, since when a copy has not been read back.",
             f"time() - {of('vault_fixity_oldest_check_timestamp_seconds', volume=_V)}", "{{volume}}", unit="s",
             most=None, steps=((None, GREEN), (90 * DAY, YELLOW), (365 * DAY, RED)), runbook="verification-is-overdue"),
        bars(4, "Đến hạn kiểm tra", "Time until the check is due that is due first; below 0 it is late.",
             f"{of('vault_fixity_oldest_due_timestamp_seconds', volume=_V)} - time()", "{{volume}}", unit="s",
             most=None, steps=((None, RED), (-7 * DAY, YELLOW), (0, GREEN)), runbook="verification-is-overdue"),
        bars(5, "Thời gian một lượt đọc hết so với chu kỳ", "Share of the interval that a whole pass takes, at the"
             " measured speed and in the hours for it; above 0.9 it will be late.",
             f"{of('vault_fixity_pass_seconds', volume=_V)} / {of('vault_fixity_interval_seconds', volume=_V)}",
             "{{volume}}", steps=((None, GREEN), (0.7, YELLOW), (0.9, RED)), runbook="verification-is-overdue",
             may_be_empty="no routine check has been measured yet"),
        lines(6, "Tốc độ đọc lại", "Bytes read back from the medium each second.",
              Query(f"sum by (volume) (rate({of('vault_fixity_bytes_total', volume=_V)}[$__rate_interval]))",
                    "{{volume}}"), unit="Bps"),
        lines(7, "Tệp không nguyên vẹn", "Files that were found damaged, missing, unreadable or doubtful.",
              Query(f"sum by (volume, outcome) (increase({of('vault_fixity_files_total', volume=_V, outcome='!intact')}"
                    "[$__rate_interval]))", "{{volume}} {{outcome}}"), steps=ANY_IS_BAD, runbook="damaged-copies"),
        lines(8, "Bản sao hỏng, mất, nghi ngờ", "Copies that do not count.",
              Query(of("vault_copies", volume=_V, state='~damaged|missing|suspect'), "{{volume}} {{state}}"),
              steps=ANY_IS_BAD, runbook="damaged-copies"),
        stat(9, "Phiên bản không còn bản tốt", "Versions of which every copy is damaged or missing.",
             f"sum({of('vault_versions_without_good_copy')})", steps=ANY_IS_BAD, runbook="no-good-copy-left", width=8),
        stat(10, "Bằng chứng đang giữ", "Damaged bytes that were set aside and that nobody has released.",
             f"sum({of('vault_evidence_kept')})", steps=ANY_IS_ODD, runbook="damaged-copies", width=8),
        stat(11, "Tác vụ đứng yên", "Running tasks that have read and written nothing for long.",
             f"sum({of('vault_tasks_stalled')})", steps=ANY_IS_BAD, runbook="work-does-not-move", width=8),
        table(12, "Tác vụ đang mở", "Work that was derived and is not done.",
              Query(f"sum by (kind, state) ({of('vault_tasks', state='~ready|running')}) > 0"),
              may_be_empty="there is nothing to do"),
        table(13, "Tác vụ: lần xong gần nhất", "How long ago a task of each kind was last done.",
              Query(f"time() - {of('vault_task_last_success_timestamp_seconds')}"), unit="s"),
    ),
    (Variable("volume", "Ổ lưu trữ", "vault_volume_info", "volume"),),
    since="now-7d",
)  # fmt: skip
"""The board."""
