import contextlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.errors import HardwareError, Malformed, NotFound, Refused
from hardware.ltfs import VirtualMedium, Volume, format_volume
from hardware.tape.errors import DeviceFault, ElementFull, NoCartridge, NotUnderstood, RemovalPrevented, TimedOut
from hardware.tape.patience import Patience
from hardware.tape.virtual import FAULTS, STATE, Fault, VirtualChanger


@pytest.fixture
def library(tmp_path):
    with VirtualChanger.create(tmp_path / "library", drives=2, slots=3, import_export=1) as changer:
        changer.add_cartridge("VLT001L5")
        yield changer


def fault(library, *faults):
    with open(os.path.join(library._state.path, FAULTS), "w") as file:
        file.writelines(f"{fault.value}\n" for fault in faults)


def test_the_loaded_cartridge_is_a_medium(library):
    with pytest.raises(NoCartridge):
        library.medium_path(0)
    library.load(1, 0)
    with VirtualMedium.open(library.medium_path(0), write=True) as medium:
        format_volume(medium, serial="VLT001", barcode="VLT001L5")
    library.unload(0)
    library.load(1, 1)
    with VirtualMedium.open(library.medium_path(1)) as medium, Volume.open(medium) as volume:
        assert volume.label.serial == "VLT001"


@pytest.mark.parametrize("write", [True, False])
def test_a_cartridge_in_use_stays_in_the_drive(library, write):
    library.load(1, 0)
    with VirtualMedium.open(library.medium_path(0), write=write):
        with pytest.raises(RemovalPrevented):
            library.unload(0)
        assert library.inventory().drives[0].full
    library.unload(0)


def test_the_shelf_is_what_is_nowhere_else(library):
    assert library.shelf() == ()
    assert library.remove(1) == "VLT001L5"
    assert library.shelf() == ("VLT001L5",)
    with pytest.raises(NotFound):
        library.insert("VLT002L5")
    with pytest.raises(NotFound):
        library.insert("../../etc", barcode="VLT002L5")
    assert library.insert("VLT001L5", slot=4).import_export
    with pytest.raises(NotFound):
        library.insert("VLT001L5", slot=2)


def test_a_cartridge_may_have_no_label_or_someone_elses(library):
    library.add_cartridge("", folder="blank")
    library.add_cartridge("VLT001L5", folder="twin")
    assert [slot.barcode for slot in library.inventory().slots] == ["VLT001L5", "", "VLT001L5", ""]
    assert library.load(2, 0).barcode == ""
    assert library.unload(0).target.number == 2
    with pytest.raises(ElementFull):
        library.add_cartridge("VLT009L5")
    assert "VLT009L5" not in library.shelf()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 40, "Đ"])
def test_no_folder_outside_is_named(library, name):
    with pytest.raises(Refused):
        library.add_cartridge("VLT002L5" if name else "", folder=name)


def test_it_is_there_after_a_restart(tmp_path):
    with VirtualChanger.create(tmp_path / "x") as library:
        library.add_cartridge("VLT001L5", slot=3)
        library.load(3, 0)
    with VirtualChanger(tmp_path / "x") as library:
        assert library.unload(0).target.number == 3
    with pytest.raises(Refused):
        VirtualChanger.create(tmp_path / "x")
    with pytest.raises(NotFound):
        VirtualChanger(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound):
        VirtualChanger(tmp_path / "empty")


def test_defects_and_silence(library):
    fault(library, Fault.DEFECT)
    with pytest.raises(DeviceFault):
        library.load(1, 0)
    fault(library, Fault.TIMEOUT)
    with pytest.raises(TimedOut):
        library.load(1, 0)
    assert library.inventory().slot(1).full
    fault(library, Fault.TIMEOUT_AFTER)
    with pytest.raises(TimedOut):
        library.load(1, 0)
    assert library.inventory().drive(0).full
    with open(os.path.join(library._state.path, FAULTS), "w") as file:
        file.write("no-such-fault\n")
    with pytest.raises(NotUnderstood):
        library.inventory()


def test_a_kill_in_the_middle_of_a_move_leaves_the_old_state(library, tmp_path):
    """What a kill leaves is the new file beside the old one, under another name."""
    path = tmp_path / "library"
    before = (path / STATE).read_text()
    library.load(1, 0)
    (path / f".{STATE}.new").write_text('{"half')
    assert library.inventory().drive(0).full
    (path / STATE).write_text(before)
    assert library.load(1, 0).barcode == "VLT001L5"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(version=2),
        lambda state: state.update(drives=[]),
        lambda state: state.update(slots="x"),
        lambda state: state.update(import_export=9),
        lambda state: state["drives"].__setitem__(0, state["slots"][0]),
        lambda state: state["slots"][0].update(folder="../x"),
        lambda state: state["slots"][0].update(home="x"),
        lambda state: state["slots"].__setitem__(1, 7),
    ],
)
def test_a_state_that_makes_no_sense_is_not_believed(library, tmp_path, change):
    state = json.loads((tmp_path / "library" / STATE).read_text())
    change(state)
    (tmp_path / "library" / STATE).write_text(json.dumps(state))
    with pytest.raises(Malformed) as caught:
        library.inventory()
    assert "insert its cartridges again" in caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b" " * (5 << 20)])
def test_a_state_that_is_no_state(library, tmp_path, data):
    (tmp_path / "library" / STATE).write_bytes(data)
    with pytest.raises(Malformed):
        library.inventory()


def test_a_state_that_is_a_link_is_not_followed(library, tmp_path):
    (tmp_path / "library" / STATE).rename(tmp_path / "elsewhere")
    (tmp_path / "library" / STATE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HardwareError):
        library.inventory()


MOVES = st.one_of(
    st.tuples(st.just("load"), st.integers(0, 5), st.integers(-1, 2)),
    st.tuples(st.just("unload"), st.integers(-1, 2), st.none() | st.integers(0, 5)),
    st.tuples(st.just("transfer"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("fault"), st.sampled_from(Fault), st.none()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, max_size=12))
def test_no_sequence_of_moves_loses_or_doubles_a_cartridge(tmp_path_factory, moves):
    path = tmp_path_factory.mktemp("moves")
    cartridges = {"VLT001L5", "VLT002L5"}
    with VirtualChanger.create(
        path / "x", drives=2, slots=3, import_export=1, patience=Patience(2, wait=lambda _: None)
    ) as library:
        for barcode in sorted(cartridges):
            library.add_cartridge(barcode)
        for act, first, second in moves:
            if act == "fault":
                fault(library, first)
                continue
            with contextlib.suppress(HardwareError):
                getattr(library, act)(first, second)
        fault(library)
        found = [place.barcode for place in library.inventory().places() if place.full]
        assert sorted(found) == sorted(cartridges)
