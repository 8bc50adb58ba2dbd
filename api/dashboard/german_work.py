"""Words in German of the pages about rules, many things at once, administration, models and reports."""

WORK = {
    # rules
    "Rules": "Regeln",
    "Alert rules": "Alarmregeln",
    "Rules of your own": "Eigene Regeln",
    "rule": "Regel",
    "alerts when": "Alarm, wenn",
    "for": "für",
    "is": "ist",
    "name": "Name",
    "threshold": "Schwelle",
    "days in a row": "Tage hintereinander",
    "{n} days in a row": "{n} Tage hintereinander",
    "all SIMs": "alle SIMs",
    "on": "an",
    "off": "aus",
    "holds": "gilt",
    "holds for now": "gilt jetzt für",
    "would alert": "würde alarmieren",
    "open alerts": "offene Alarme",
    "Try it": "Ausprobieren",
    "Try it on the past": "An der Vergangenheit ausprobieren",
    "Trying it on the past …": "Wird an der Vergangenheit ausprobiert …",
    "Switch on": "Einschalten",
    "Switch off": "Ausschalten",
    "Switch on all the same": "Trotzdem einschalten",
    "Switch {name} off? Its open alerts close.": "{name} ausschalten? Ihre offenen Alarme schließen sich.",
    "Delete": "Löschen",
    "Delete {name}? Its open alerts close.": "{name} löschen? Ihre offenen Alarme schließen sich.",
    "There is no rule of your own yet. Alerts that come with Simsight need none.": (
        "Noch gibt es keine eigene Regel. Alarme, die Simsight mitbringt, brauchen keine."
    ),
    "New rule": "Neue Regel",
    "A rule is tried on the last 60 days first: how often it would have alerted, and for which SIMs.": (
        "Eine Regel wird zuerst an den letzten 60 Tagen ausprobiert: wie oft sie alarmiert hätte und für welche SIMs."
    ),
    "{name}, tried on the past": "{name}, an der Vergangenheit ausprobiert",
    "Tried on the past": "An der Vergangenheit ausprobiert",
    "It would have alerted {n} times on {days} days, for at most {most} of {sims} SIMs at once.": (
        "Sie hätte an {days} Tagen {n}-mal alarmiert, für höchstens {most} von {sims} SIMs zugleich."
    ),
    "That is {share} of them: its threshold is probably wrong.": (
        "Das sind {share} davon: die Schwelle stimmt wahrscheinlich nicht."
    ),
    "The rule on past days": "Die Regel an vergangenen Tagen",
    "Bars: alerts it would have opened a day. Line: SIMs for which it held.": (
        "Balken: Alarme, die sie am Tag geöffnet hätte. Linie: SIMs, für die sie galt."
    ),
    "Store and switch on": "Speichern und einschalten",
    "Store, switched off": "Ausgeschaltet speichern",
    "It would alert for more than a quarter of its SIMs at once. Switch it on?": (
        "Sie würde für mehr als ein Viertel ihrer SIMs zugleich alarmieren. Einschalten?"
    ),
    "usage of the day": "Verbrauch des Tages",
    "usage of the last 7 days": "Verbrauch der letzten 7 Tage",
    "usage of the calendar month so far": "Verbrauch des Kalendermonats bisher",
    "used share of the data volume": "verbrauchter Anteil des Datenvolumens",
    "usage expected in the next 30 days": "erwarteter Verbrauch der nächsten 30 Tage",
    "probability of the end within 7 days": "Wahrscheinlichkeit des Endes in 7 Tagen",
    "probability of the end within 14 days": "Wahrscheinlichkeit des Endes in 14 Tagen",
    "probability of the end within 30 days": "Wahrscheinlichkeit des Endes in 30 Tagen",
    "probability of the end within 90 days": "Wahrscheinlichkeit des Endes in 90 Tagen",
    "time without usage": "Zeit ohne Verbrauch",
    "age of the last usage answer": "Alter der letzten Auskunft über Verbrauch",
    "anomaly score": "Auffälligkeit",
    "churn risk": "Abwanderungsrisiko",
    "forecast error as a share of repeating last week": "Prognosefehler als Anteil des Fehlers der Vorwoche",
    "share of usage within the 80 % interval": "Anteil des Verbrauchs im 80-%-Band",
    # administration
    "Admin": "Verwaltung",
    "Log": "Protokoll",
    "Keys": "Schlüssel",
    "More pages": "Weitere Seiten",
    "Who wrote what": "Wer was geschrieben hat",
    "event": "Ereignis",
    "who": "wer",
    "about what": "worüber",
    "from": "von",
    "to": "bis",
    "time (UTC)": "Zeit (UTC)",
    "facts": "Angaben",
    "hash": "Prüfsumme",
    "No line fits this search.": "Keine Zeile passt zu dieser Suche.",
    "These lines as a file": "Diese Zeilen als Datei",
    "Each line is hashed together with the one before: `simsight audit verify` finds what was changed.": (
        "Jede Zeile ist mit der davor verkettet: `simsight audit verify` findet, was geändert wurde."
    ),
    "API keys": "API-Schlüssel",
    "New key": "Neuer Schlüssel",
    "what it is for": "wofür er ist",
    "valid for days": "gültig für Tage",
    "until revoked": "bis zum Widerruf",
    "only from these networks": "nur aus diesen Netzen",
    "what it may do": "was er darf",
    "read what the service answers": "lesen, was der Dienst antwortet",
    "act on alerts, write alert rules, correct tickets, label SIMs and decide on recommendations": (
        "Alarme bearbeiten, Alarmregeln schreiben, Tickets berichtigen, SIMs benennen und über Empfehlungen entscheiden"
    ),
    "request and approve actions at 1NCE, which spend money": (
        "Maßnahmen bei 1NCE verlangen und freigeben, die Geld kosten"
    ),
    "make, rotate and revoke keys, plan reports, read the log of writes": (
        "Schlüssel machen, erneuern und widerrufen, das Protokoll lesen"
    ),
    "Make a key": "Schlüssel machen",
    "The key {name}, shown this once": "Der Schlüssel {name}, nur dieses Mal gezeigt",
    "It works until {time} UTC.": "Er gilt bis {time} UTC.",
    "It works until it is revoked.": "Er gilt, bis er widerrufen wird.",
    "The old one works until {time} UTC.": "Der alte gilt bis {time} UTC.",
    "Keys there are": "Vorhandene Schlüssel",
    "key": "Schlüssel",
    "may": "darf",
    "made": "gemacht",
    "until": "bis",
    "everywhere": "überall",
    "expired": "abgelaufen",
    "revoked": "widerrufen",
    "has a successor": "hat einen Nachfolger",
    "for tokens of the identity provider": "für Token des Identitätsanbieters",
    "requests in {n} days": "Anfragen in {n} Tagen",
    "last {day}": "zuletzt {day}",
    "How long the old key works on": "Wie lange der alte Schlüssel weiter gilt",
    "old one ends at once": "alter endet sofort",
    "old one for 1 day": "alter noch 1 Tag",
    "old one for {n} days": "alter noch {n} Tage",
    "Rotate": "Erneuern",
    "Revoke": "Widerrufen",
    "Revoke {name}? What uses it stops working at once.": (
        "{name} widerrufen? Was ihn benutzt, geht sofort nicht mehr."
    ),
    "history": "Verlauf",
    "Reopen": "Wieder öffnen",
    "Loading …": "Wird geladen …",
    "Live updates are interrupted: what is shown may be old.": (
        "Die laufende Aktualisierung ist unterbrochen: was zu sehen ist, kann alt sein."
    ),
    "That did not work. Try again in a moment.": "Das ging nicht. Versuchen Sie es gleich noch einmal.",
    # many at once
    "Act on many": "Viele zugleich bearbeiten",
    "which": "welche",
    "SIMs that are ticked": "angekreuzte SIMs",
    "all {n} of this list": "alle {n} dieser Liste",
    "new label, where one is set": "neues Label, wo eines gesetzt wird",
    "Show what would change": "Zeigen, was sich ändern würde",
    "Act on all {n} alerts of this list": "Alle {n} Alarme dieser Liste bearbeiten",
    "tick": "ankreuzen",
    "tick all on this page": "alle auf dieser Seite ankreuzen",
    "{n} things would change": "{n} würden sich ändern",
    "New label": "Neues Label",
    "{n} are so already, or are not there.": "{n} sind schon so oder nicht da.",
    "Type “{phrase}” to confirm": "Zum Bestätigen „{phrase}“ eintippen",
    "Do it": "Ausführen",
    "Cancel": "Abbrechen",
    "Nothing has changed yet. What was shown holds until {time} UTC.": (
        "Noch hat sich nichts geändert. Was gezeigt ist, gilt bis {time} UTC."
    ),
    "done": "erledigt",
    "Show the list anew": "Die Liste neu zeigen",
    "Nothing was done.": "Es wurde nichts getan.",
    # models
    "Models": "Modelle",
    "The champion scores; challengers wait": "Der Champion rechnet; Herausforderer warten",
    "version": "Version",
    "role": "Rolle",
    "data to": "Daten bis",
    "on days it had not seen": "auf Tagen, die es nicht kannte",
    "Do the forecasts still hold?": "Halten die Prognosen noch?",
    "they hold": "sie halten",
    "look into it": "nachsehen",
    "Over {days} days up to {last}, the 80 % band held {share} of days (in the backtest {promised}).": (
        "An {days} Tagen bis {last} hielt das 80-%-Band {share} der Tage (im Backtest {promised})."
    ),
    "The error was {ratio} times that of repeating last week.": (
        "Der Fehler war {ratio}-mal der des Wiederholens der Vorwoche."
    ),
    "Of forecasts 1 to 7 days ahead. Bars: share of days within the 80 % band. Line: error, 100 % is as bad as "
    "repeating last week.": (
        "Von Prognosen 1 bis 7 Tage voraus. Balken: Anteil der Tage im 80-%-Band. Linie: Fehler, 100 % ist so schlecht "
        "wie das Wiederholen der Vorwoche."
    ),
    "held by the 80 % band": "vom 80-%-Band gehalten",
    "error against last week": "Fehler zur Vorwoche",
    "No forecast is old enough to be held against what came: look again in a few days.": (
        "Noch ist keine Prognose alt genug, um sie mit dem zu vergleichen, was kam: in ein paar Tagen wieder nachsehen."
    ),
    "Changes of champion": "Wechsel des Champions",
    "None yet.": "Noch keiner.",
    "all figures": "alle Zahlen",
    "Data volume of each SIM and of the fleet, day by day": "Datenvolumen jeder SIM und der Flotte, Tag für Tag",
    "Days on which a SIM is not as it was": "Tage, an denen eine SIM nicht ist, wie sie war",
    "The risk that a SIM leaves": "Das Risiko, dass eine SIM geht",
    "What to do about each SIM's volume": "Was mit dem Volumen jeder SIM zu tun ist",
    "What a support ticket is about": "Worum es in einem Ticket geht",
    "error, as a share of repeating last week": "Fehler, als Anteil des Wiederholens der Vorwoche",
    "of days, held by the 80 % band": "der Tage, vom 80-%-Band gehalten",
    "of days, held by the 95 % band": "der Tage, vom 95-%-Band gehalten",
    "of 30-day sums, held by the 80 % band": "der 30-Tage-Summen, vom 80-%-Band gehalten",
    "of injected anomalies found": "der eingebauten Auffälligkeiten gefunden",
    "of 1,000 SIM-days flagged": "von 1.000 SIM-Tagen gemeldet",
    "AUC: who leaves within 90 days": "AUC: wer in 90 Tagen geht",
    "distance of stated risks from what came": "Abstand der genannten Risiken von dem, was kam",
    "ends in the riskiest tenth, times a random tenth's": "Enden im riskantesten Zehntel, mal denen eines zufälligen",
    "macro F1 of the categories": "Makro-F1 der Kategorien",
    "of tickets it is sure of": "der Tickets, bei denen es sicher ist",
    "right, of these": "richtig, von diesen",
    "cost of its advice in past months": "Kosten seines Rats in vergangenen Monaten",
    "cost of the plain rules": "Kosten der einfachen Regeln",
    "cost of doing nothing": "Kosten des Nichtstuns",
    "days without service, with its advice": "Tage ohne Dienst, mit seinem Rat",
    "No model is trained yet.": "Noch ist kein Modell trainiert.",
    # reports
    "Reports": "Berichte",
    "A report of any period": "Ein Bericht über einen Zeitraum",
    "last seen in": "zuletzt gesehen in",
    "all countries": "alle Länder",
    "format": "Format",
    "Make it": "Erstellen",
    "Usage, cost, when SIMs run out, anomalies, alerts, churn, savings, and how good data and models are. It takes "
    "some seconds.": (
        "Verbrauch, Kosten, wann SIMs leer sind, Auffälligkeiten, Alarme, Abwanderung, Ersparnis und wie gut Daten und "
        "Modelle sind. Es dauert einige Sekunden."
    ),
    "Reports that are kept": "Aufbewahrte Berichte",
    "report": "Bericht",
    "reports": "Berichte",
    "period (UTC days)": "Zeitraum (UTC-Tage)",
    "predictions as of": "Vorhersagen vom",
    "made (UTC)": "erstellt (UTC)",
    "files": "Dateien",
    "{first} to {last}": "{first} bis {last}",
    "No report is kept yet. A schedule keeps each report that it makes.": (
        "Noch ist kein Bericht aufbewahrt. Ein Plan bewahrt jeden Bericht auf, den er erstellt."
    ),
    "Schedules": "Pläne",
    "schedule": "Plan",
    "who gets it": "wer ihn bekommt",
    "nobody: it is kept": "niemand: er wird aufbewahrt",
    "next": "nächster",
    "newest": "letzter",
    "from {time} UTC": "ab {time} UTC",
    "to {day}": "bis {day}",
    "paused": "angehalten",
    "kept": "aufbewahrt",
    "sent to {n}": "an {n} geschickt",
    "waits to be sent": "wartet darauf, verschickt zu werden",
    "not sent to {n}: `simsight channels problems` says why": (
        "an {n} nicht geschickt: `simsight channels problems` sagt warum"
    ),
    "Pause": "Anhalten",
    "Resume": "Fortsetzen",
    "Remove": "Entfernen",
    "Remove {name}? The reports it made stay.": "{name} entfernen? Die Berichte, die er erstellt hat, bleiben.",
    "There is no schedule yet: the form below adds one.": "Noch gibt es keinen Plan: das Formular unten legt einen an.",
    "New schedule": "Neuer Plan",
    "from this time of day": "ab dieser Uhrzeit",
    "in this time zone": "in dieser Zeitzone",
    "formats": "Formate",
    "does not work": "geht nicht",
    "There is no channel yet: `simsight channels add NAME URL_VARIABLE` makes one. Without one, reports are kept.": (
        "Noch gibt es keinen Kanal: `simsight channels add NAME URL_VARIABLE` legt einen an. Ohne ihn werden Berichte "
        "aufbewahrt."
    ),
    "Add the schedule": "Plan anlegen",
    "A report is made once its last day is complete. By mail it has its files, elsewhere its first sentence and "
    "links.": (
        "Ein Bericht wird erstellt, sobald sein letzter Tag vollständig ist. Als Mail bringt er seine Dateien mit, "
        "sonst seinen ersten Satz und Links."
    ),
}
