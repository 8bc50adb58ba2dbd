"""Names of countries in English and German, with their codes and the adjectives that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

# the name first, as 1NCE writes it; other names and codes; adjectives after the bar
_TABLE = """
United States,US,USA,United States of America,Vereinigte Staaten,Vereinigten Staaten,Amerika|american,amerikanische
Germany,DE,DEU,Deutschland,Federal Republic of Germany|german,deutsche
France,FR,FRA,Frankreich|french,franzoesische
Italy,IT,ITA,Italien|italian,italienische
Spain,ES,ESP,Spanien|spanish,spanische
Portugal,PT,PRT|portuguese,portugiesische
United Kingdom,UK,GB,GBR,Great Britain,England,Britain,Grossbritannien,Vereinigtes Koenigreich|british,uk,britische
Ireland,IE,IRL,Irland|irish,irische
Netherlands,NL,NLD,the Netherlands,Holland,Niederlande,Niederlanden|dutch,niederlaendische,hollaendische
Belgium,BE,BEL,Belgien|belgian,belgische
Luxembourg,LU,LUX,Luxemburg|
Austria,AT,AUT,Oesterreich|austrian,oesterreichische
Switzerland,CH,CHE,Schweiz|swiss,schweizer,schweizerische
Liechtenstein,LI,LIE|
Poland,PL,POL,Polen|polish,polnische
Czech Republic,CZ,CZE,Czechia,Tschechien,Tschechische Republik|czech,tschechische
Slovakia,SK,SVK,Slowakei|slovak,slowakische
Hungary,HU,HUN,Ungarn|hungarian,ungarische
Romania,RO,ROU,Rumaenien|romanian,rumaenische
Bulgaria,BG,BGR,Bulgarien|bulgarian,bulgarische
Greece,GR,GRC,Griechenland|greek,griechische
Croatia,HR,HRV,Kroatien|croatian,kroatische
Slovenia,SI,SVN,Slowenien|slovenian,slowenische
Serbia,RS,SRB,Serbien|serbian,serbische
Denmark,DK,DNK,Daenemark|danish,daenische
Sweden,SE,SWE,Schweden|swedish,schwedische
Norway,NO,NOR,Norwegen|norwegian,norwegische
Finland,FI,FIN,Finnland|finnish,finnische
Estonia,EE,EST,Estland|estonian,
Latvia,LV,LVA,Lettland|latvian,
Lithuania,LT,LTU,Litauen|lithuanian,
Ukraine,UA,UKR|ukrainian,ukrainische
Turkey,TR,TUR,Tuerkei,Turkiye|turkish,tuerkische
Canada,CA,CAN,Kanada|canadian,kanadische
Mexico,MX,MEX,Mexiko|mexican,mexikanische
Brazil,BR,BRA,Brasilien|brazilian,brasilianische
Argentina,AR,ARG,Argentinien|argentinian,argentinische
Chile,CL,CHL|chilean,chilenische
Colombia,CO,COL,Kolumbien|colombian,kolumbianische
Australia,AU,AUS,Australien|australian,australische
New Zealand,NZ,NZL,Neuseeland|
Japan,JP,JPN|japanese,japanische
China,CN,CHN|chinese,chinesische
Hong Kong,HK,HKG,Hongkong|
Taiwan,TW,TWN|taiwanese,
South Korea,KR,KOR,Suedkorea,Korea|korean,koreanische
India,IN,IND,Indien|indian,indische
Singapore,SG,SGP,Singapur|
Thailand,TH,THA|thai,
Vietnam,VN,VNM|vietnamese,
Malaysia,MY,MYS|
Indonesia,ID,IDN,Indonesien|indonesian,
Philippines,PH,PHL,the Philippines,Philippinen|
Israel,IL,ISR|israeli,israelische
United Arab Emirates,AE,ARE,UAE,Emirates,Vereinigte Arabische Emirate|
Saudi Arabia,SA,SAU,Saudi-Arabien|saudi,
Egypt,EG,EGY,Aegypten|egyptian,aegyptische
Morocco,MA,MAR,Marokko|moroccan,
South Africa,ZA,ZAF,Suedafrika|south african,suedafrikanische
Kenya,KE,KEN,Kenia|kenyan,
Nigeria,NG,NGA|nigerian,
Iceland,IS,ISL,Island|icelandic,
Cyprus,CY,CYP,Zypern|
Malta,MT,MLT|maltese,
Russia,RU,RUS,Russland|russian,russische
"""
SAFE = {"usa", "uk", "uae"}


def plain(text: str) -> str:
    """A name as questions are read: small letters, umlauts written out."""
    text = text.casefold()
    for letter, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("-", " ")):
        text = text.replace(letter, written)
    return text


def _names() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Names, adjectives and codes in capitals, each with every name and code of its country."""
    names, adjectives, codes = {}, {}, {}
    for line in _TABLE.strip().splitlines():
        spelled, _, adjective = line.partition("|")
        every = spelled.split(",")
        values = tuple(dict.fromkeys(name.casefold() for name in every))
        for name in every:
            if name.isupper() and len(name) < 4:
                codes[name] = values
                if name.casefold() not in SAFE:
                    continue
            names[plain(name)] = values
        for word in adjective.split(","):
            if word:
                adjectives[plain(word)] = values
    return names, adjectives, codes


NAMES, ADJECTIVES, CODES = _names()


# German names that are not the only other one
_GERMAN = """
Deutschland Frankreich Italien Spanien Grossbritannien Irland Niederlande Belgien Luxemburg Oesterreich Schweiz
Polen Tschechien Slowakei Ungarn Rumaenien Bulgarien Griechenland Kroatien Slowenien Serbien Daenemark Schweden
Norwegen Finnland Estland Lettland Litauen Tuerkei Kanada Mexiko Brasilien Argentinien Kolumbien Australien
Neuseeland Hongkong Suedkorea Indien Singapur Indonesien Philippinen Aegypten Marokko Suedafrika Kenia Island Zypern
Russland USA
"""


def _english_and_german() -> dict[str, tuple[str, str]]:
    """For every name and code of a country its English and its German name."""
    found: dict[str, tuple[str, str]] = {}
    german_names = set(_GERMAN.split())
    for line in _TABLE.strip().splitlines():
        first, *others = line.partition("|")[0].split(",")
        german = next((name for name in others if name in german_names), first)
        if german != first:
            for written, letter in (("Oe", "Ö"), ("Ae", "Ä"), ("ae", "ä"), ("ue", "ü"), ("Gross", "Groß")):
                german = german.replace(written, letter)
        found |= {name.casefold(): (first, german) for name in (first, *others)}
    return found


_SHOWN = _english_and_german()


def shown(values: Sequence[str], *, german: bool = False) -> list[str]:
    """The countries that names and codes stand for, each once, as people write them."""
    return list(dict.fromkeys(_SHOWN.get(value.casefold(), (value, value))[german] for value in values))
