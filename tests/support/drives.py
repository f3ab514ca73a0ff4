"""Answers of smartctl for drives in this state or that, made from the least that it says."""

import copy

HEALTHY_ATA = {
    "smartctl": {"version": [7, 3], "exit_status": 0},
    "device": {"name": "/dev/sda", "type": "sat", "protocol": "ATA"},
    "model_name": "ST16000NM001G-2KK103",
    "serial_number": "ZL20ABCD",
    "wwn": {"naa": 5, "oui": 3152, "id": 3735928559},
    "firmware_version": "SN03",
    "user_capacity": {"blocks": 31251759104, "bytes": 16000900661248},
    "smart_support": {"available": True, "enabled": True},
    "smart_status": {"passed": True},
    "power_on_time": {"hours": 13114},
    "temperature": {"current": 31, "op_limit_max": 60, "limit_max": 70},
    "ata_smart_attributes": {
        "table": [
            {
                "id": number,
                "name": name,
                "value": 100,
                "worst": 100,
                "thresh": 10,
                "when_failed": "",
                "flags": {"prefailure": number == 5},
                "raw": {"value": 0, "string": "0"},
            }
            for number, name in (
                (5, "Reallocated_Sector_Ct"), (187, "Reported_Uncorrect"), (188, "Command_Timeout"),
                (194, "Temperature_Celsius"), (197, "Current_Pending_Sector"), (198, "Offline_Uncorrectable"),
                (199, "UDMA_CRC_Error_Count"),
            )
        ]
    },
    "ata_smart_error_log": {"summary": {"count": 0}},
    "ata_smart_self_test_log": {"standard": {"table": []}},
}  # fmt: skip

HEALTHY_NVME = {
    "smartctl": {"version": [7, 3], "exit_status": 0},
    "device": {"name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
    "model_name": "Micron_7450_MTFDKCC3T8TFR",
    "serial_number": "22463C1F0D2B",
    "smart_status": {"passed": True, "nvme": {"value": 0}},
    "temperature": {"current": 35},
    "nvme_smart_health_information_log": {
        "critical_warning": 0,
        "available_spare": 100,
        "available_spare_threshold": 10,
        "percentage_used": 3,
        "media_errors": 0,
    },
}

HEALTHY_SAS = {
    "smartctl": {"version": [7, 3], "exit_status": 0},
    "device": {"name": "/dev/sdb", "type": "scsi", "protocol": "SCSI"},
    "scsi_model_name": "HGST HUS726060AL5210",
    "serial_number": "K1G0ABCD",
    "logical_unit_id": "0x5000cca255012340",
    "smart_support": {"available": True, "enabled": True},
    "smart_status": {"passed": True},
    "temperature": {"current": 33, "drive_trip": 65},
    "scsi_grown_defect_list": 0,
    "scsi_error_counter_log": {
        "read": {"total_uncorrected_errors": 0},
        "write": {"total_uncorrected_errors": 0},
    },
}


def ata(**changes):
    return changed(HEALTHY_ATA, **changes)


def nvme(**log):
    document = copy.deepcopy(HEALTHY_NVME)
    document["nvme_smart_health_information_log"].update(log)
    return document


def sas(**changes):
    return changed(HEALTHY_SAS, **changes)


def changed(document, **changes):
    found = copy.deepcopy(document)
    found.update(changes)
    return found


def attribute(number, document=None, **changes):
    """The document with some members of one ATA attribute changed; ``raw`` is the number in it."""
    found = copy.deepcopy(document or HEALTHY_ATA)
    row = next(row for row in found["ata_smart_attributes"]["table"] if row["id"] == number)
    raw = changes.pop("raw", None)
    row.update(changes)
    if raw is not None:
        row["raw"] = {"value": raw, "string": str(raw)}
    return found
