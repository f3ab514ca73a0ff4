import pytest

from hardware.tape.generation import Generation, Mode, can, of_density, of_drive

G = Generation
DRIVES = [generation for generation in G if generation is not G.M8]

WRITES = {
    G.LTO1: {G.LTO1},
    G.LTO2: {G.LTO1, G.LTO2},
    G.LTO3: {G.LTO2, G.LTO3},
    G.LTO4: {G.LTO3, G.LTO4},
    G.LTO5: {G.LTO4, G.LTO5},
    G.LTO6: {G.LTO5, G.LTO6},
    G.LTO7: {G.LTO6, G.LTO7},
    G.LTO8: {G.LTO7, G.M8, G.LTO8},
    G.LTO9: {G.LTO8, G.LTO9},
    G.LTO10: {G.LTO10},
}
ONLY_READS = {G.LTO3: {G.LTO1}, G.LTO4: {G.LTO2}, G.LTO5: {G.LTO3}, G.LTO6: {G.LTO4}, G.LTO7: {G.LTO5}}


@pytest.mark.parametrize("drive", DRIVES, ids=str)
def test_every_pair_of_drive_and_cartridge(drive):
    modes = {cartridge: can(drive, cartridge).mode for cartridge in G}
    assert {cartridge for cartridge, mode in modes.items() if mode is Mode.READ_WRITE} == WRITES[drive]
    assert {cartridge for cartridge, mode in modes.items() if mode is Mode.READ_ONLY} == ONLY_READS.get(drive, set())


@pytest.mark.parametrize(
    ("drive", "cartridge", "reason"),
    [
        (G.LTO7, G.LTO5, "only reads LTO-5"),
        (G.LTO8, G.LTO6, "too old for an LTO-8"),
        (G.LTO9, G.LTO7, "too old for an LTO-9"),
        (G.LTO8, G.LTO9, "newer than an LTO-8"),
        (G.LTO7, G.M8, "Only LTO-8 drives"),
        (G.LTO9, G.M8, "Only LTO-8 drives"),
        (G.M8, G.M8, "no drives of it"),
    ],
)
def test_the_reason_says_why_not(drive, cartridge, reason):
    access = can(drive, cartridge)
    assert reason in access.reason
    assert not access.writes


def test_ltfs_needs_two_partitions():
    assert not G.LTO4.partitions
    assert all(generation.partitions for generation in list(G)[4:])


def test_capacity_and_speed_are_native():
    assert (G.LTO8.native_bytes, G.LTO8.native_speed) == (12 * 10**12, 360 * 10**6)
    assert (G.LTO5.native_bytes, G.LTO5.native_speed) == (15 * 10**11, 140 * 10**6)


@pytest.mark.parametrize(
    ("product", "generation"),
    [
        ("ULTRIUM-HH8", G.LTO8),
        ("ULT3580-TD9", G.LTO9),
        ("ULTRIUM-TD5", G.LTO5),
        ("Ultrium 6-SCSI", G.LTO6),
        ("LTO-9 HH", G.LTO9),
        ("ULTRIUM 7", G.LTO7),
        ("ULTRIUM-HH10", G.LTO10),
        ("3573-TL", None),
        ("T10000B", None),
        ("ULTRIUM-HH77", None),
        ("", None),
    ],
)
def test_a_drive_is_known_by_its_product_name(product, generation):
    assert of_drive(product) is generation


def test_a_loaded_cartridge_is_known_by_its_density():
    assert of_density(0x5D) is G.M8
    assert of_density(0x5E) is G.LTO8
    assert of_density(0) is None
