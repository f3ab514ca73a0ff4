"""What a configuration means, and what is said of one that cannot work."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from vault import config
from vault.config import Problem, check_machine, examine, find_config, parse_settings, policy_fingerprint
from vault.errors import ConfigError, NotFound
from vault.model import Descriptive, DigestAlgorithm

FILE = Path("/etc/vault/vault.toml")

MINIMAL = """\
[node]
name = "n"
[[volume]]
name = "a"
kind = "directory"
path = "/srv/a"
domain = "da"
site = "here"
[[volume]]
name = "b"
kind = "directory"
path = "/srv/b"
domain = "db"
site = "there"
[[policy]]
name = "default"
"""


def refused(text: str, path: Path = FILE) -> list[str]:
    """The lines about what is wrong with ``text``."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, path)
    head, *lines = str(caught.value).splitlines()
    assert str(path) in head
    return lines


def only(text: str) -> str:
    lines = refused(text)
    assert len(lines) == 1, lines
    return lines[0]


def changed(old: str, new: str, text: str = MINIMAL) -> str:
    assert old in text
    return text.replace(old, new)


# What settings mean


def test_a_minimal_file_gets_the_documented_defaults():
    settings = parse_settings(MINIMAL, FILE)
    assert settings.node.language == "vi"
    assert settings.node.zone.key == "Asia/Ho_Chi_Minh"
    assert settings.catalog.url == "sqlite:////var/lib/vault/catalog.db"
    assert (settings.api.listen.host, settings.api.listen.port) == ("127.0.0.1", 8420)
    assert settings.intake.digest is DigestAlgorithm.SHA512
    assert settings.intake.max_package_bytes == 100 * 10**9
    assert settings.volumes[0].reserve == 10**9
    (policy,) = settings.policies
    assert (policy.disk, policy.tape, policy.receipt_after) == (2, 0, 2)
    assert policy.fixity.disk == timedelta(days=90)


def test_values_are_read_as_they_are_written():
    text = MINIMAL + 'receipt_after = 1\nfixity = { disk = "30d" }\npriority = 5\n'
    text = changed('name = "n"', 'name = "n"\nlanguage = "en"\nstate = "./state"', text)
    text += '[api]\nlisten = "[::1]:0"\nwait = "0s"\n[intake]\ndigest = "sha256"\nmax_package_bytes = 4096\n'
    settings = parse_settings(text, Path("/opt/demo/vault.toml"))
    assert settings.node.state == Path("/opt/demo/state")
    assert settings.catalog.url == "sqlite:////opt/demo/state/catalog.db"
    assert str(settings.api.listen) == "[::1]:0"
    assert settings.api.wait == timedelta(0)
    assert settings.intake.max_package_bytes == 4096
    assert settings.policies[0].receipt_after == 1
    assert settings.policies[0].fixity.disk == timedelta(days=30)
    assert settings.policies[0].fixity.tape == timedelta(days=365)


def test_only_paths_that_say_so_start_at_the_folder_of_the_file(tmp_path):
    text = changed('"/srv/a"', '"./a"') + '[catalog]\nurl = "sqlite:///./c.db"\n'
    settings = parse_settings(text, tmp_path / "vault.toml")
    assert settings.volumes[0].path == tmp_path / "a"
    assert settings.catalog.url == f"sqlite:///{tmp_path}/c.db"
    for path in ("srv/a", "../a", "~/a", ""):
        assert "volume[a].path" in only(changed('"/srv/a"', f'"{path}"'))


def test_settings_cannot_change():
    settings = parse_settings(MINIMAL, FILE)
    with pytest.raises(AttributeError):
        settings.node = None
    with pytest.raises(ValueError, match="frozen"):
        settings.node.name = "other"


def test_the_first_policy_that_matches_holds():
    land = '[[policy]]\nname = "land"\nmatch = { fonds = ["DD-*"], class = "urgent" }\n[[policy]]\nname = "default"\n'
    settings = parse_settings(changed('[[policy]]\nname = "default"\n', land), FILE)
    assert settings.policy_for(Descriptive(fonds="DD-1", priority_class="urgent")).name == "land"
    assert settings.policy_for(Descriptive(fonds="DD-1")).name == "default"
    assert settings.policy("land").name == "land"
    assert settings.volume("b").site == "there"
    with pytest.raises(NotFound):
        settings.policy("gone")
    with pytest.raises(NotFound):
        settings.volume("gone")


def test_the_fingerprint_follows_the_meaning_and_not_the_letters():
    prints = policy_fingerprint(parse_settings(MINIMAL, FILE))
    same = changed('name = "default"', 'name = "default"  # the same\ndisk = 2\nfixity = { disk = "2160h" }')
    assert policy_fingerprint(parse_settings(same, FILE)) == prints
    assert policy_fingerprint(parse_settings(changed("/srv/a", "/mnt/a"), FILE)) == prints
    for old, new in (
        ('name = "default"', 'name = "default"\ndisk = 1'),
        ('name = "default"', 'name = "default"\nreceipt_after = 1'),
        ('name = "default"', 'name = "default"\nfixity.disk = "1d"'),
        ('name = "default"', 'name = "other"'),
        ('domain = "da"', 'domain = "dc"'),
        ('site = "here"', 'site = "there"'),
        ('name = "a"', 'name = "c"'),
    ):
        assert policy_fingerprint(parse_settings(changed(old, new), FILE)) != prints, new


def test_the_file_is_the_named_one_or_the_environments_or_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAULT_CONFIG", raising=False)
    assert find_config() == FILE
    monkeypatch.setenv("VAULT_CONFIG", "env.toml")
    assert find_config() == tmp_path / "env.toml"
    assert find_config("cli.toml") == tmp_path / "cli.toml"


# What is said of what cannot work


def test_everything_that_is_wrong_is_said_at_once_each_at_its_line():
    text = (
        '[node]\nname = "N"\nstat = "/x"\n\n[api]\nlisten = "0.0.0.0:80"\n[log]\nformat = "xml"\n'
        '[[volume]]\nname = "a"\nkind = "directory"\npath = "a"\ndomain = "d"\n'
        '[[policy]]\nname = "default"\ndisk = "two"\n'
    )
    lines = refused(text)
    starts = [
        f'{FILE}:2: node.name: "N": ',
        f'{FILE}:3: node.stat: there is no such setting; did you mean "state"?',
        f'{FILE}:6: api.listen: "0.0.0.0:80": ',
        f'{FILE}:8: log.format: "xml": ',
        f"{FILE}:9: volume[a].site: it is missing; ",
        f'{FILE}:12: volume[a].path: "a": the path is relative; ',
        f'{FILE}:16: policy[default].disk: "two": it is no whole number; ',
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
        assert line.partition("; ")[2], "a remedy"


@pytest.mark.parametrize(
    ("old", "new", "at", "what"),
    [
        ('name = "b"', 'name = "a"', 'name = "a"', "another volume has this name"),
        ('"/srv/b"', '"/srv/a"', '"/srv/a"', "same folder"),
        ('"/srv/b"', '"/srv//x/../a/"', "x/..", "same folder"),
        ('"/srv/b"', '"/srv/a/b"', "/srv/a/b", "lies inside the folder"),
        ('"/srv/a"', '"/srv"', "/srv/b", "lies inside the folder"),
        ('kind = "directory"\npath = "/srv/b"', 'kind = "s3"\npath = "/srv/b"', "s3", "none of the possible values"),
        ('domain = "db"', 'domain = "da"', "[[policy]]", "own failure domain"),
        ('name = "default"', 'name = "default"\ndisk = 3', "disk = 3", "own failure domain"),
        ('name = "default"', 'name = "default"\ndisk = 0', "disk = 0", "too small"),
        ('name = "default"', 'name = "default"\ntape = 1', "tape = 1", "no tape library"),
        ('name = "default"', 'name = "default"\nreceipt_after = 3', "receipt_after", "more copies than there will be"),
        ('name = "default"', 'name = "default"\nreceipt_after = 0', "receipt_after", "too small"),
        ('name = "default"', 'name = "default"\nmatch.fonds = "x"', "match.fonds", "must match every package"),
        ('name = "default"', 'name = "default"\nmatch.fond = "*"', "match.fond", "no such setting"),
        ('name = "default"', 'name = "default"\nfixity.disk = "0s"', "fixity", "longer than nothing"),
        ('name = "default"', 'name = "default"\nfixity.disk = 90', "fixity", "no duration"),
        ('name = "n"', 'name = "n"\ntime_zone = "Hanoi"', "Hanoi", "no such time zone"),
        ('name = "n"', 'name = "n"\ntime_zone = "../../etc/passwd"', "passwd", "no such time zone"),
        ('name = "n"', 'name = "n"\nlanguage = "fr"', "fr", "none of the possible values"),
        ('name = "n"', 'name = "n"\naccept_shared_devices = "no"', "accept", "neither true nor false"),
        ('name = "n"', 'name = "n"\n[api]\nlisten = "127.0.0.1"', "listen", "no HOST:PORT"),
        ('name = "n"', 'name = "n"\n[api]\nlisten = "127.0.0.1:65536"', "listen", "no HOST:PORT"),
        ('name = "n"', 'name = "n"\n[api]\nlisten = "[::]:1"', "listen", "no TLS"),
        ('name = "n"', 'name = "n"\n[api]\nlisten = "example.org:1"', "listen", "no TLS"),
        ('name = "n"', 'name = "n"\n[api]\nwait = "11m"', "wait", "longer than wait_max"),
        ('name = "n"', f'name = "n"\n[api]\nsocket = "/{"x" * 107}"', "socket", "107 bytes"),
        ('name = "n"', 'name = "n"\n[intake]\nmax_inflated_bytes = "1 GB"', "max_inf", "less than max_package_bytes"),
        ('name = "n"', 'name = "n"\n[intake]\nmax_ratio = 1.5', "max_ratio", "no whole number"),
        ('name = "n"', 'name = "n"\n[intake]\ndigest = "md5"', "md5", "no such digest"),
        ('name = "n"', 'name = "n"\n[custody]\nretry_min = "2h"', "retry_min", "longer than retry_max"),
        ('name = "n"', 'name = "n"\n[catalog]\nurl = "mysql://h/d"', "mysql", "no database"),
        ('name = "n"', 'name = "n"\n[catalog]\nurl = "sqlite:///c.db"', "sqlite", "relative"),
        ('name = "n"', 'name = "n"\n[volumes]\nx = 1', "[volumes]", "no such setting"),
        ('[node]\nname = "n"', "", "", "node.name: it is missing"),
        ('name = "a"\nkind = "directory"\n', 'name = "a"\n', "", 'it is missing; add kind = "directory" to [[volume]]'),
    ],
)  # fmt: skip
def test_a_fault_is_named_at_its_line(old, new, at, what):
    text = changed(old, new) if old != 'name = "b"' else MINIMAL.replace('name = "b"', 'name = "a"')
    problem = only(text)
    assert what in problem
    number = int(problem.removeprefix(f"{FILE}:").partition(":")[0])
    matching = [i for i, line in enumerate(text.splitlines(), 1) if at in line]
    assert number in matching


LIBRARY = '[[library]]\nname = "lib"\nkind = "scsi"\n'


def test_pools_follow_from_the_policies_where_none_is_written():
    settings = parse_settings(changed('name = "default"', 'name = "default"\ntape = 2') + LIBRARY, FILE)
    assert [(pool.name, pool.library, pool.set, pool.site) for pool in settings.pools] == [
        ("tape-1", "lib", "tape-1", "lib"),
        ("tape-2", "lib", "tape-2", "lib"),
    ]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('[[library]]\nname = "lib"\nkind = "virtual"\n', "is a folder, and none is named"),
        (LIBRARY + 'path = "/srv/x"\n', "only a virtual library is a folder"),
        (LIBRARY + "drives = 2\n", "a number of drives is for virtual libraries"),
        (LIBRARY + 'drives = "all"\n', "it names no drives"),
        ('[[library]]\nname = "lib"\nkind = "virtual"\npath = "/srv/a/tapes"\n', "lies inside the folder of volume"),
        (LIBRARY + LIBRARY, "another library has this name"),
        ('[[pool]]\nname = "p"\n', "there are 0 libraries"),
        (LIBRARY + '[[pool]]\nname = "p"\nlibrary = "other"\n', "there is no such library"),
        (LIBRARY + '[[pool]]\nname = "p"\n[[pool]]\nname = "q"\nset = "p"\n', "another pool is of this set"),
    ],
)
def test_a_library_or_pool_that_cannot_work_is_refused_with_its_reason(more, what):
    assert what in only(MINIMAL + more)


def test_a_policy_needs_as_many_sets_as_it_asks_for():
    text = changed('name = "default"', 'name = "default"\ntape = 2') + LIBRARY + '[[pool]]\nname = "p"\n'
    assert "the pools have 1 (p)" in only(text)


def test_a_node_without_policy_or_with_one_never_reached_is_refused():
    assert "there is no policy" in only(MINIMAL.partition("[[policy]]")[0])
    assert "never reached" in only(MINIMAL + '[[policy]]\nname = "later"\n')
    assert any("another policy has this name" in line for line in refused(MINIMAL + '[[policy]]\nname = "default"\n'))


def test_single_brackets_are_explained():
    lines = refused(MINIMAL.partition("[[volume]]")[0] + '[volume]\nname = "a"\n[[policy]]\nname = "default"\n')
    assert any("[[volume]] in two pairs of brackets" in line for line in lines)


def test_what_follows_from_another_fault_is_not_said():
    """With one volume unreadable, nobody knows how many failure domains there are."""
    assert "no path" in only(changed('"/srv/b"', "7"))


@pytest.mark.parametrize("text", ["", "# every key as a comment\n#[node]\n"])
def test_of_a_file_that_says_nothing_yet_one_thing_is_said(text):
    assert "vaultctl init" in only(text)


def test_a_password_is_not_repeated():
    text = changed('name = "n"', 'name = "n"\n[catalog]\nurl = "mysql://me:s3cr@t/x@host/db?password=s3cr"')
    assert "s3cr" not in only(text)


@pytest.mark.parametrize(
    ("text", "line"), [("[node]\nname = \n", 2), ("a = 1\na = 2\n", 2), ("[node\n", 1), ('\n\nx = "', 3)]
)
def test_what_is_no_toml_is_refused_at_its_line(text, line):
    assert only(text).startswith(f"{FILE}:{line}: it is no TOML: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match="there is no such file"):
        config.load_settings(missing)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[node]\nname = "\xe9"\n')
    _, (problem,) = examine(latin)
    assert str(problem).startswith(f"{latin}:2: it is not UTF-8")
    _, (problem,) = examine(tmp_path)
    assert "it cannot be read" in problem.what


# The machine


def machine(tmp_path: Path, paths: list[Path], extra: str = "", *, shared: bool = True) -> list[Problem]:
    volumes = "".join(
        f'[[volume]]\nname = "v{i}"\nkind = "directory"\npath = "{path}"\nmount = false\ndomain = "d{i}"\nsite = "s"\n'
        + extra
        for i, path in enumerate(paths)
    )
    node = f'[node]\nname = "n"\naccept_shared_devices = {str(shared).lower()}\n'
    text = f'{node}{volumes}[[policy]]\nname = "p"\ndisk = 1\n'
    return check_machine(parse_settings(text, tmp_path / "vault.toml"))


def test_a_machine_that_fits_has_no_problems(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert machine(tmp_path, [tmp_path / "a", tmp_path / "b"]) == []


def test_a_folder_that_is_missing_or_none_is_named_and_the_others_are_still_looked_at(tmp_path):
    (tmp_path / "file").touch()
    problems = machine(tmp_path, [tmp_path / "gone", tmp_path / "file"])
    assert ["there is no such folder" in problems[0].what, "it is no folder" in problems[1].what] == [True, True]
    assert [problem.line for problem in problems] == [7, 14]


def test_two_volumes_on_one_device_are_named_unless_accepted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (problem,) = machine(tmp_path, [tmp_path / "a", tmp_path / "b"], shared=False)
    assert problem.key == "volume[v1].path"
    assert 'same device as volume "v0"' in problem.what


def test_links_do_not_hide_that_two_volumes_are_one(tmp_path):
    (tmp_path / "a" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    (problem,) = machine(tmp_path, [tmp_path / "a", tmp_path / "link"])
    assert "same folder" in problem.what
    (problem,) = machine(tmp_path, [tmp_path / "a", tmp_path / "link" / "inner"])
    assert "lies inside" in problem.what
    (problem,) = machine(tmp_path, [tmp_path / "loop"])
    assert "cannot be reached" in problem.what


def test_a_mount_point_with_nothing_mounted_is_named(tmp_path):
    text = changed('"/srv/a"', '"/proc"').replace('"/srv/b"', f'"{tmp_path}"')
    (problem,) = check_machine(parse_settings(text, FILE))
    assert problem.key == "volume[b].path"
    assert "nothing is mounted there" in problem.what
