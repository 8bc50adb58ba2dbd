"""The kinds of devices, the countries and the cities that a simulated fleet is made of."""

from dataclasses import dataclass

import numpy as np

from simulator.hashing import _ONE


@dataclass(frozen=True)
class Archetype:
    """One kind of device. Volumes are accounting bytes on an active day; chances and shares are per mille.

    Its data sessions lie within `hours` hours of the UTC day, which begin for each SIM at an hour of its own from
    `opens` on.
    """

    name: str
    share: int
    low: int
    high: int
    noise: int
    weeks: tuple[int, ...]
    rx: int
    sms_rate: int  # index into SMS_RATES
    season: int = 0  # amplitude of the yearly wave, in 1/4096
    growth: int = 0  # added to the level each day, in 1/4096
    period: int = 1  # longest number of days between reports
    on: int = 1000  # chance that a run of days is an active one
    auto_topup: int = 40
    refill: int = 250  # chance that somebody tops it up after exhaustion
    hours: int = 24
    opens: tuple[int, int] = (0, 0)  # first and last hour


ARCHETYPES = (
    Archetype("fixed_payload_meter", 300, 10_000, 80_000, 0, (0,), 180, 0, hours=2, opens=(0, 4)),
    Archetype("workday_tracker", 180, 120_000, 1_400_000, 2, (1,), 220, 1, hours=12, opens=(4, 6)),
    Archetype("camera", 40, 1_200_000, 7_000_000, 4, (0, 2), 60, 0, auto_topup=450, refill=700),
    Archetype("vending_machine", 130, 80_000, 1_100_000, 2, (1, 2, 3), 350, 1, season=900, hours=15, opens=(5, 7)),
    Archetype("seasonal_sensor", 90, 40_000, 260_000, 1, (0,), 150, 0, season=4600, hours=3, opens=(0, 20)),
    Archetype("on_off_machine", 90, 150_000, 1_800_000, 3, (0, 3), 300, 0, on=550, hours=10, opens=(5, 7)),
    Archetype("rare_reporter", 100, 4_000, 60_000, 1, (0,), 250, 2, period=14, hours=2, opens=(0, 21)),
    Archetype("growing_gateway", 40, 450_000, 1_300_000, 1, (0, 3), 420, 1, growth=14, auto_topup=450, refill=600),
    Archetype("alarm_panel", 30, 20_000, 90_000, 1, (0,), 400, 4),
)
CODE = {archetype.name: code for code, archetype in enumerate(ARCHETYPES)}
FIRMWARE_LOOP_DEVICE = CODE["workday_tracker"] * 2 + 1  # device types are numbered two to an archetype
# two device types an archetype: name, type allocation code of the IMEI, radio
DEVICES = (
    *(("Hydra W1", "86357604", "NB-IoT"), ("Hydra W2", "01456700", "NB-IoT")),
    *(("Trailmark T100", "35298110", "2G"), ("Trailmark T210", "86492305", "4G")),
    *(("Sentria Cam 4", "35673808", "4G"), ("Sentria Cam 5", "35673912", "5G")),
    *(("Vendo V3", "86106503", "4G"), ("Vendo V3 lite", "86106511", "2G")),
    *(("Agrilog S", "86732103", "NB-IoT"), ("Agrilog M", "86732145", "4G")),
    *(("Baustrom B1", "35940510", "2G"), ("Baustrom B2", "35940528", "4G")),
    *(("Silentio R", "86881203", "NB-IoT"), ("Silentio R+", "86881229", "NB-IoT")),
    *(("Gatewise 400", "35176209", "4G"), ("Gatewise 500", "35176225", "5G")),
    *(("Alertis P", "86004104", "2G"), ("Alertis P2", "86004120", "4G")),
)
# name, ISO code, id, dialling code, MCC, latitude, longitude, operators (id, name, MNC)
COUNTRIES = (
    (
        "Germany",
        "de",
        "74",
        "49",
        "262",
        "51",
        "9",
        (("2", "T-Mobile", "01"), ("3", "Vodafone", "02"), ("4", "O2", "03")),
    ),
    ("Austria", "at", "12", "43", "232", "47", "13", (("31", "A1", "01"), ("32", "Magenta", "03"))),
    ("Netherlands", "nl", "142", "31", "204", "52", "5", (("51", "KPN", "08"), ("52", "Vodafone", "04"))),
    ("France", "fr", "69", "33", "208", "46", "2", (("61", "Orange", "01"), ("62", "Bouygues Telecom", "20"))),
    ("Italy", "it", "98", "39", "222", "42", "12", (("71", "TIM", "01"), ("72", "WindTre", "88"))),
    # where no SIM of a fleet belongs
    ("Morocco", "ma", "130", "212", "604", "32", "-5", (("81", "Maroc Telecom", "01"), ("82", "Inwi", "02"))),
)
CITIES = (
    ("HAM", 0),
    ("VIE", 1),
    ("AMS", 2),
    ("MUC", 0),
    ("LYO", 3),
    ("MIL", 4),
    ("CGN", 0),
    ("BER", 0),
    ("GRZ", 1),
    ("LEJ", 0),
)
STEADY = np.array([a.period == 1 and a.on == 1000 and a.season < _ONE for a in ARCHETYPES])
SMS_RATES = (0.002, 0.006, 0.03, 0.1, 0.28)  # messages a day and direction
SMS_SLOTS = 8  # at most four a day in each direction
