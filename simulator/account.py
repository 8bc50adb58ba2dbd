"""The SIM side of a synthetic 1NCE account: each function gives the JSON of one v1 answer, as the official file shapes
it.

Nothing here reads a clock: `now` is the virtual time, aware and in UTC.
"""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from simulator.catalog import CITIES, CODE, COUNTRIES, DEVICES
from simulator.devices import first_imeis, imeis_on
from simulator.events import EVENT_KINDS, events_of, sessions_of
from simulator.faults import Faults
from simulator.fleet import DATA_QUOTA, SMS_QUOTA, Fleet
from simulator.hashing import IDENTITY, PLACE, REPORT, Ints, bits, draw
from simulator.injected_anomalies import COUNTRY, OPERATOR, on
from simulator.ledger import DAY_SECONDS, Periods, moment, tick

Json = dict[str, Any]

EVENT_DAYS = 90  # how far back events reach: our choice, 1NCE's file does not say
SMS_DAYS = 90  # the same for SMS
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_CURRENCY = '{"id":1,"symbol":"\\u20ac","code":"EUR"}'
_KINDS = ("MTR", "TRK", "CAM", "VND", "AGR", "MCH", "RPT", "GTW", "ALM")
_RATS = {"2G": "2", "3G": "1", "4G": "6", "5G": "7", "NB-IoT": "8"}
_TRACKER = CODE["workday_tracker"]
_HOMES = np.array([country for _, country in CITIES])
_OPERATORS = np.array([len(country[7]) for country in COUNTRIES])
_LIMITS = {"data": ("16", "MB"), "smsMt": ("10", "SMS"), "smsMo": ("10", "SMS")}


def stamp(ticks: int) -> str:
    """A time as most of 1NCE's answers write it: 2029-01-01T00:00:00.000Z."""
    return moment(ticks).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def stamps(ticks: Ints) -> list[str]:
    """The same for many."""
    seconds = (ticks - _UNIX_EPOCH * DAY_SECONDS).astype("datetime64[s]")
    return [f"{text}.000Z" for text in np.datetime_as_string(seconds).tolist()]


def offset_stamp(ticks: int) -> str:
    """A time as SIM cards and events write it: 2018-03-09T07:59:09.000+0000."""
    return moment(ticks).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def megabytes(units: int) -> str:
    """Accounting bytes as decimal text in MB with six places."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // 1_000_000}.{units % 1_000_000:06d}"


def _luhn(digits: str) -> str:
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


class SimCards:
    """Answers about the SIM cards of one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        everyone = np.arange(fleet.sims, dtype=np.int64)
        words = draw(fleet.seed, IDENTITY, everyone, np.array([1, 2]))
        self._imeis = first_imeis(fleet.demand, bits(words[:, 0], 0, 16) + everyone)
        self._locked = bits(words[:, 0], 20, 10) < 80
        self._operator = bits(words[:, 0], 32, 8)

    def imei(self, i: int, day: int) -> str:
        """The IMEI of the device that a SIM is in on a day (an ordinal)."""
        return f"{self.imeis_on(np.array([i]), np.array([day]))[0]:016d}"

    def imeis_on(self, rows: Ints, days: Ints) -> Ints:
        """The same for many, as numbers: rows (n,), each on its own day (n,)."""
        return imeis_on(self.fleet.demand, self._imeis, rows, days)

    def imeis_at(self, rows: Ints, now: datetime) -> Ints:
        """The same for many at one time."""
        return self.imeis_on(rows, np.full(len(rows), tick(now) // DAY_SECONDS))

    def imsi(self, i: int) -> str:
        return f"90140{5_100_000_000 + self.fleet.serial[i]:010d}"

    def msisdn(self, i: int) -> str:
        return f"882285{self.fleet.serial[i]:09d}"

    def ip_address(self, i: int) -> str:
        return f"100.{64 + (i >> 16) % 64}.{(i >> 8) % 256}.{i % 256}"

    def rat(self, i: int) -> tuple[str, str]:
        """Id and name of the radio access technology of a SIM's device."""
        name = DEVICES[self.fleet.demand.device[i]][2]
        return _RATS[name], name

    def quota_id(self, i: int, service: str) -> int:
        """1NCE's number of a SIM's quota of "data" or "sms"."""
        return 2 * int(self.fleet.serial[i]) + (service == "sms")

    def label(self, i: int) -> str:
        """Customer site, kind of device and number, as in HAM03-MTR-0042."""
        demand = self.fleet.demand
        site = int(demand.site[i])
        return f"{CITIES[site % len(CITIES)][0]}{site:02d}-{_KINDS[demand.archetype[i]]}-{i:04d}"

    def visible(self, now: datetime) -> Ints:
        """Indices of the SIMs that are in the account at `now`: those activated so far."""
        return np.flatnonzero(self.fleet.demand.activation * DAY_SECONDS <= tick(now))

    def expired(self, i: int, now: datetime) -> bool:
        return bool(self.fleet.demand.expiry[i] * DAY_SECONDS <= tick(now))

    def cards(self, rows: Ints, now: datetime) -> list[Json]:
        """SIM cards as /v1/sims lists them."""
        time = tick(now)
        ledger = self.fleet.ledger(rows, time // DAY_SECONDS) if len(rows) else None
        if ledger is None:
            return []
        demand = self.fleet.demand
        data, sms = _states(ledger.data, time), _states(ledger.sms, time)
        disabled = demand.churn_last[rows] + 14 <= time // DAY_SECONDS
        imeis = self.imeis_at(rows, now)
        cards = []
        for at, i in enumerate(rows.tolist()):
            iccid, imsi = self.fleet.iccids[i], self.imsi(i)
            card = {
                "iccid": iccid,
                "iccid_with_luhn": iccid + _luhn(iccid),
                "imsi": imsi,
                "imsi_2": f"46004{imsi[5:]}",
                "current_imsi": imsi,
                "msisdn": self.msisdn(i),
                "imei": f"{imeis[at]:016d}",
                "imei_lock": bool(self._locked[i]),
                "status": "Disabled" if disabled[at] else "Enabled",
                "activation_date": offset_stamp(int(demand.activation[i]) * DAY_SECONDS),
                "ip_address": self.ip_address(i),
                "current_quota": data[at]["total"] / 1_000_000,
                "quota_status": data[at]["status"],
                "current_quota_SMS": sms[at]["total"],
                "quota_status_SMS": sms[at]["status"],
                "label": self.label(i),
            }
            cards.append(card)
        return cards

    def quota(self, i: int, service: str, now: datetime) -> Json:
        """What is left of `service` ("data" in MB, "sms" in messages), as /quota/{service} gives it."""
        time = tick(now)
        row = np.array([i])
        ledger = self.fleet.ledger(row, time // DAY_SECONDS)
        periods = ledger.data if service == "data" else ledger.sms
        left = self.fleet.remaining(row, now)[0 if service == "data" else 1]
        k = int(periods.at(time)[0])
        known = [int(x) for x in (periods.credit_at[0, k], periods.threshold_at[0, k], periods.exceeded_at[0, k])]
        unit = 1_000_000 if service == "data" else 1
        answer: Json = {
            "volume": int(left[0]) / unit if unit > 1 else int(left[0]),
            "total_volume": int(periods.total[0, k]) / unit if unit > 1 else int(periods.total[0, k]),
            "expiry_date": stamp(int(self.fleet.demand.expiry[i]) * DAY_SECONDS),
            "last_volume_added": DATA_QUOTA // unit if service == "data" else SMS_QUOTA,
            "last_status_change_date": stamp(max(x for x in known if x <= time)),
            "threshold_percentage": 20,
        }
        return answer | {"peak_throughput": 1_000_000} if service == "data" else answer

    def usage_body(self, i: int, first: date, last: date, now: datetime, faults: Faults) -> bytes:
        """The usage answer from `first` to `last`, already encoded: one row a day from activation to today, newest
        last."""
        first = max(first, date.fromordinal(int(self.fleet.demand.activation[i])))
        last = min(last, now.date())
        if last < first:
            return b'{"stats":[]}'
        used = self.fleet.usage([i], first, last, now)
        days = np.arange(first.toordinal(), last.toordinal() + 1)
        volume, rx, mt, mo = used.volume[0], used.rx[0], used.sms_mt[0], used.sms_mo[0]
        keep = np.ones(len(days), dtype=bool)
        words = draw(self.fleet.seed, REPORT, np.array([i]), days)[0]
        if faults.late_corrections:
            age = now.date().toordinal() - days
            percent = 50 + bits(words, 0, 8) * 45 // 255
            percent = np.select([age == 1, age == 2], [percent, (100 + percent) // 2], 100)
            volume, rx = volume * percent // 100, rx * percent // 100
            keep &= ~((age == 1) & (bits(words, 8, 3) == 0))
        if faults.missing_zero_days:
            keep &= (volume > 0) | (mt + mo > 0)
        broken = bits(words, 16, 10) < 10 if faults.text_where_number else np.zeros(len(days), dtype=bool)
        columns = zip(*(c[keep].tolist() for c in (days, volume, rx, mt, mo, broken)), strict=True)
        rows = [_usage_row(_day_stamp(day), *row) for day, *row in columns]
        if faults.total_row and rows:
            bytes_, received, sms_mt, sms_mo = (int(column[keep].sum()) for column in (volume, rx, mt, mo))
            rows.append(_usage_row("TOTAL", bytes_, received, sms_mt, sms_mo, False))
        return ('{"stats":[' + ",".join(rows) + "]}").encode("ascii")

    def location(self, i: int, day: int) -> tuple[Any, tuple[str, str, str]]:
        """Country row and operator of a SIM on a day; trackers spend some weeks in another country."""
        country, operator = self.locations(np.array([i]), np.array([day]))
        place = COUNTRIES[country[0]]
        return place, place[7][operator[0]]

    def locations(self, rows: Ints, days: Ints) -> tuple[Ints, Ints]:
        """The same for many: rows (n,), each on its own day (n,); positions in `COUNTRIES` and among the country's
        operators."""
        demand = self.fleet.demand
        home = _HOMES[demand.site[rows] % len(CITIES)]
        word = draw(self.fleet.seed, PLACE, rows, days[:, None] // 7)[:, 0]
        away = (demand.archetype[rows] == _TRACKER) & (bits(word, 0, 8) < 30)
        country = np.where(away, (home + 1 + bits(word, 8, 8) % 4) % 5, home)
        country = np.where(on(demand, rows, days, COUNTRY), len(COUNTRIES) - 1, country)
        other = on(demand, rows, days, OPERATOR)
        return country, (self._operator[rows] + other) % _OPERATORS[country]

    def sessions(self, i: int, first: int, last: int) -> tuple[Ints, Ints]:
        """Ticks at which each PDP context of days `first` to `last` was created and deleted; none on days without
        bytes."""
        _, begin, end = sessions_of(self.fleet, np.array([i]), first, last)
        return begin, end

    def status(self, i: int, now: datetime) -> Json:
        """ONLINE inside a data session, ATTACHED within two days after one, else OFFLINE."""
        time, today = tick(now), tick(now) // DAY_SECONDS
        begin, end = self.sessions(i, today - 14, today)
        begin, end = begin[begin <= time], end[begin <= time]
        if not len(begin):
            return {"status": "OFFLINE", "services": []}
        seen = min(int(end[-1]), time)
        country, operator = self.location(i, seen // DAY_SECONDS)
        online = int(end[-1]) > time
        answer: Json = {
            "status": "ONLINE" if online else "ATTACHED" if time - seen <= 2 * DAY_SECONDS else "OFFLINE",
            "location": self._place(i, country, operator, int(begin[-1]), seen),
            "services": ["GPRS", "SMS"] if online else ["SMS"],
        }
        if online:
            answer["pdp_context"] = self._context(i, country, operator, int(begin[-1]), time)
        return answer

    def _place(self, i: int, country: Any, operator: tuple[str, str, str], begin: int, seen: int) -> Json:
        name, iso, country_id, code, mcc, latitude, longitude, _ = country
        return {
            "iccid": self.fleet.iccids[i],
            "imsi": self.imsi(i),
            "last_updated": stamp(seen),
            "last_updated_gprs": stamp(begin),
            "sgsn_number": f"{code}1600300000",
            "vlr_number": f"{code}1710000000",
            "operator_id": operator[0],
            "msc": f"{code}1710300000",
            "operator": {
                "id": operator[0],
                "name": operator[1],
                "country": {"id": country_id, "name": name, "iso-code": iso},
            },
            "country": {
                "country_id": country_id,
                "name": name,
                "country_code": code,
                "mcc": mcc,
                "iso-code": iso,
                "latitude": latitude,
                "longitude": longitude,
            },
        }

    def _context(self, i: int, country: Any, operator: tuple[str, str, str], begin: int, time: int) -> Json:
        rat_id, rat = self.rat(i)
        number = int(self.fleet.serial[i])
        return {
            "pdp_context_id": str(begin % 10**9 + number),
            "endpoint_id": str(10_000_000 + number),
            "tariff_profile_id": "129700",
            "tariff_id": "442",
            "ratezone_id": "2171",
            "organisation_id": str(26_000 + self.fleet.seed % 1000),
            "imsi_id": str(1_610_000 + i),
            "imsi": self.imsi(i),
            "sim_id": str(901_000 + i),
            "gtp_version": "1",
            "nsapi": "5",
            "created": stamp(begin),
            "mcc": country[4],
            "mnc": operator[2],
            "operator_id": operator[0],
            "lac": str(1000 + number % 60_000),
            "ci": str(5000 + number % 50_000),
            "ue_ip_address": self.ip_address(i),
            "imeisv": self.imei(i, time // DAY_SECONDS),
            "duration": str(timedelta(seconds=time - begin)).rjust(8, "0"),
            "rat_type": {"rat_type_id": rat_id, "description": rat},
        }

    def connectivity_info(self, i: int, now: datetime, subscriber: bool, ussd: bool) -> Json:
        """The live look-up; it succeeds for devices with a 2G radio that are not offline."""
        time = tick(now)
        state = self.status(i, now)
        reachable = state["status"] != "OFFLINE" and DEVICES[self.fleet.demand.device[i]][2] == "2G"
        answer: Json = {"request_timestamp": offset_stamp(time), "reply_timestamp": offset_stamp(time + 1)}
        if ussd:
            answer["ussd_info"] = {"success": False, "error": "Request Timeout Error"}
        if subscriber and not reachable:
            answer["subscriber_info"] = {"success": False, "state": "not_provided_from_vlr"}
        elif subscriber:
            country, operator = self.location(i, time // DAY_SECONDS)
            number = int(self.fleet.serial[i])
            cell = {"cid": 5000 + number % 50_000, "lac": 1000 + number % 60_000, "mcc": country[4], "mnc": operator[2]}
            place = {"current_location_retrieved": True, "age_of_location": number % 9, "cell_global_id": cell}
            answer["subscriber_info"] = {"success": True, "state": "assumed_idle", "location": place}
        return answer

    def events(self, i: int, now: datetime) -> tuple[Ints, Ints]:
        """Ticks and kinds (positions in `EVENT_KINDS`) of a SIM's events of the last EVENT_DAYS days, oldest first."""
        time = tick(now)
        first = max(time // DAY_SECONDS - EVENT_DAYS, int(self.fleet.demand.activation[i]))
        row, today = np.array([i]), time // DAY_SECONDS
        _, ticks, kinds = events_of(self.fleet, row, sessions_of(self.fleet, row, first, today), today)
        shown = (ticks <= time) & (ticks >= (time // DAY_SECONDS - EVENT_DAYS) * DAY_SECONDS)
        return ticks[shown], kinds[shown]

    def described(self, i: int, ticks: Ints, kinds: Ints) -> list[Json]:
        """Events of a SIM as /events lists them."""
        iccid = self.fleet.iccids[i]
        who, days = np.full(len(ticks), i), ticks // DAY_SECONDS
        places = zip(*(ints.tolist() for ints in (*self.locations(who, days), self.imeis_on(who, days))), strict=True)
        answers: list[Json] = []
        for at, kind, (country, operator, imei) in zip(ticks.tolist(), kinds.tolist(), places, strict=True):
            told = EVENT_KINDS[kind]
            sentence = told.sentence.format(imsi=self.imsi(i))
            answer: Json = {"timestamp": offset_stamp(at), "event_type": sentence, "iccid": iccid}
            if kind < 3:
                name, _, _, _, mcc, _, _, operators = COUNTRIES[country]
                _, network, mnc = operators[operator]
                answer |= {
                    "imei": f"{imei:016d}",
                    "imsi": self.imsi(i),
                    "country": name,
                    "operator": network,
                    "mcc": mcc,
                    "mnc": mnc,
                }
            answers.append(answer | {"alert": told.alert, "event_severity": told.severity})
        return answers

    def messages(self, i: int, now: datetime) -> list[tuple[int, int, bool]]:
        """(tick, id, mobile-originated) of a SIM's SMS of the last SMS_DAYS days, oldest first."""
        time, today = tick(now), tick(now) // DAY_SECONDS
        first = max(today - SMS_DAYS, int(self.fleet.demand.activation[i]))
        if first > today:
            return []
        used = self.fleet.usage([i], date.fromordinal(first), date.fromordinal(today), now)
        mo, total = used.sms_mo[0], used.sms_mo[0] + used.sms_mt[0]
        at = np.flatnonzero(total)
        wanted = self.fleet.demand.wanted(np.array([i]), np.arange(first, today + 1))
        count = (wanted.sms_mo + wanted.sms_mt)[0, at]
        seconds = self.fleet.message_seconds(np.full(len(at), i), first + at, count)
        found = []
        for day, slots in zip(at.tolist(), seconds.tolist(), strict=True):
            for k in range(int(total[day])):
                sent = (first + day) * DAY_SECONDS + slots[k]
                found.append((sent, (i + 1) * 10**8 + (first + day) % 10**6 * 10 + k, k < int(mo[day])))
        return [message for message in found if message[0] <= time]

    def message(self, i: int, sent: int, number: int, originated: bool) -> Json:
        """One SMS as /sms lists it. Mobile-originated ones are those the device sent."""
        country, _ = self.location(i, sent // DAY_SECONDS)
        texts = (("STATUS OK", "LOW BATTERY", "DOOR OPEN") if originated else ("REBOOT", "REPORT", "CONFIG 12"))[
            number % 3
        ]
        return {
            "id": number,
            "submit_date": stamp(sent),
            "delivery_date": stamp(sent + 4),
            "expiry_date": stamp(sent + DAY_SECONDS),
            "final_date": stamp(sent + 4),
            "last_delivery_attempt": stamp(sent + 4),
            "retry_count": "0",
            "source_address": self.msisdn(i) if originated else "1234567890",
            "iccid": self.fleet.iccids[i],
            "msisdn": self.msisdn(i),
            "imsi": self.imsi(i),
            "msc": f"{country[3]}1600190000",
            "dcs": 0,
            "payload": texts,
            "status": {"id": 4, "description": "DELIVERED"},
            "sms_type": {"id": 2 if originated else 1, "description": "MO" if originated else "MT"},
            "source_address_type": {"id": 145},
        }

    @staticmethod
    def limits(services: tuple[str, ...] = ("data", "smsMt", "smsMo")) -> Json:
        """The monthly limits set for the whole account."""
        return {service: {"id": 1, "limit": _LIMITS[service][0], "unit": _LIMITS[service][1]} for service in services}


def _states(periods: Periods, time: int) -> list[Json]:
    """Total and quota_status of each SIM at tick `time`."""
    rows = np.arange(len(periods.credit_at))
    k = np.maximum(periods.at(time), 0)
    columns = (periods.total[rows, k], periods.threshold_at[rows, k], periods.exceeded_at[rows, k])
    states = []
    for total, threshold, exceeded in zip(*(column.tolist() for column in columns), strict=True):
        level = 2 if exceeded <= time else 1 if threshold <= time else 0
        status: Json = {
            "id": level,
            "description": ("More than 20% available", "Less than 20% available", "No volume available")[level],
        }
        if threshold <= time:
            status["threshold_reached_date"] = stamp(threshold)
        if exceeded <= time:
            status["quota_exceeded_date"] = stamp(exceeded)
        states.append({"total": total, "status": status})
    return states


def _day_stamp(day: int) -> str:
    return f"{date.fromordinal(day).isoformat()}T00:00:00.000Z"


def _usage_row(day: str, volume: int, rx: int, mt: int, mo: int, broken: bool) -> str:
    total = megabytes(volume)
    return (
        f'{{"date":"{day}",'
        f'"data":{{"cost":"{total}","currency":{_CURRENCY},'
        f'"traffic_type":{{"description":"Data","id":5,"unit":"MB"}},"volume":"{"n/a" if broken else total}",'
        f'"volume_rx":"{megabytes(rx)}","volume_tx":"{megabytes(volume - rx)}"}},'
        f'"sms":{{"cost":"{mo + mt}","currency":{_CURRENCY},"traffic_type":{{"description":"SMS","id":6,"unit":"SMS"}},'
        f'"volume":"{mo + mt}","volume_rx":"{mo}","volume_tx":"{mt}"}}}}'
    )
