"""Texts with telephone numbers and with what looks like them, made the same each time from a seed."""

import random
from collections.abc import Iterator

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
EVERYWHERE = sorted(phonenumbers.SUPPORTED_REGIONS)
FORMATS = (
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
)

COMMON = [" ", "-", ".", "/", " - ", "  ", "", "(", ")", ") "]
SEPARATORS = [
    *COMMON,
    *(
        "[",
        "]",
        "~",
        "x",
        "X",
        " x ",
        "--",
        "\\ x",
        "/x",
        "/ x",
        ". ",
        ", ",
        ",",
        ":",
        ";",
        "_",
        "\t",
        "\n",
        "#",
        " (0) ",
    ),
    *("+", "++", "(+", " ext ", " ext. ", ";ext=", "int", "anexo ", " ~", "     ~", "     x", "$", "%", "a", "Z"),
    *("\u00a0", "\u2013", "\u2011", "\u3000", "\uff0d", "\u00ad", "\u200b", "\u30fc", "\uff08", "\uff09", "\u2212"),
    *("\u2053", "\uff5e", "\uff0f", "\uff0e", "\u20ac", "\u00e9", "\u00df", "\u4e2d", "\u0301", "\u0131", "\u017f"),
    *("\u0130", "\u0434\u043e\u0431", "extensi\u00f3n ", "\uff45\uff58\uff54", "\uff03", "\uff0b"),
]
ZEROS = [0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE]
WORDS = ["call", "me", "at ", "Tel: ", "tel:", "x", "", "A", "9", "(", "+", "ext", ",", ":"]


class Texts:
    """Endless texts; equal seeds make equal texts."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - texts to look at, no keys

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self.text()

    def text(self) -> str:
        pick = self._random.choice
        count = pick([1, 1, 1, 1, 2, 2, 3, 5, 12])
        if count == 1:
            return pick(["", "", "", "$", "a", "\u20ac", "("]) + self.piece() + pick(["", "", "", "", "%", "a", "."])
        between = [" ", "", "\n", ", ", " / ", "/", " - ", ". ", "; ", *SEPARATORS]
        return "".join(self.piece() + pick(between) for _ in range(count))

    def piece(self) -> str:
        chance = self._random.random()
        if chance < 0.35:
            piece = self.number()
        elif chance < 0.55:
            piece = self.changed(self.number())
        elif chance < 0.7:
            piece = self.chain()
        elif chance < 0.9:
            piece = self.something_else()
        else:
            piece = self._random.choice(WORDS)
        if self._random.random() < 0.08:
            piece = self.in_other_digits(piece)
        return self.changed(piece) if self._random.random() < 0.1 else piece

    def number(self) -> str:
        """A number that libphonenumber gives as an example, in one of the ways it writes them."""
        pick = self._random.choice
        region = pick(REGIONS) if self._random.random() < 0.6 else pick(EVERYWHERE)
        number = phonenumbers.example_number_for_type(region, pick(PhoneNumberType.values()))
        number = number or phonenumbers.example_number(region)
        assert number is not None
        if self._random.random() < 0.15:
            number.extension = str(self._random.randrange(1, 10 ** self._random.randint(1, 6)))
        chance = self._random.random()
        if chance < 0.6:
            return phonenumbers.format_number(number, pick(FORMATS))
        if chance < 0.8:
            return phonenumbers.format_out_of_country_calling_number(number, pick(REGIONS))
        national = phonenumbers.national_significant_number(number)
        if chance < 0.9:
            return pick(["", "", "0", f"+{number.country_code}"]) + national[: self._random.randint(3, 7)]
        return national if chance < 0.95 else f"{number.country_code}{national}"

    def changed(self, text: str) -> str:
        """With a character more, less or other."""
        if not text:
            return text
        chance, at = self._random.random(), self._random.randrange(len(text))
        if chance < 0.25:
            return text[:at] + text[at + 1 :]
        if chance < 0.5:
            return text[:at] + self.digits(1) + text[at:]
        if chance < 0.75:
            return text[:at] + self._random.choice(SEPARATORS) + text[at:]
        return text[:at] + self.digits(1) + text[at + 1 :]

    def chain(self) -> str:
        """Digits with anything between them."""
        pick, most = self._random.choice, self._random.randint(1, 8)
        lengths = [1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 10]
        return "".join(
            self.digits(pick(lengths)) + pick(SEPARATORS if self._random.random() < 0.4 else COMMON)
            for _ in range(most)
        )

    def something_else(self) -> str:
        """What payloads hold that is no telephone number, or was not meant as one."""
        number, digits = self._random.randint, self.digits
        year, month, day, hour, minute = number(1900, 2100), number(1, 12), number(1, 31), number(0, 23), number(0, 59)
        return self._random.choice(
            [
                f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z",
                f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}",
                f"{year}{month:02}{day:02} {hour:02}:{minute}",
                f"{day}/{month}/{year}",
                f"{day}.{month}.{year}",
                f"{number(0, 10**7) / 100}",
                f"${number(0, 10**7) / 100:,}",
                ".".join(str(number(0, 255)) for _ in range(4)),
                "-".join(digits(4) for _ in range(4)),
                " ".join(digits(4) for _ in range(4)),
                str(number(10**9, 2 * 10**9)),
                str(number(10**12, 2 * 10**12)),
                f"{number(0, 2**128):032x}",
                f"{number(0, 2**32):08x}-{number(0, 2**16):04x}-4{number(0, 4095):03x}-{number(0, 2**48):012x}",
                digits(number(1, 30)),
                f"12({digits(1)}): {digits(3)}-{digits(3)} ({digits(4)})",
                f"{digits(3)}-{digits(2)}-{digits(4)}",
                f"order-{digits(8)}",
                f"v{digits(1)}.{digits(2)}",
            ]
        )

    def in_other_digits(self, text: str) -> str:
        """With most digits in those of another script."""
        zero = self._random.choice(ZEROS)
        return "".join(
            chr(zero + int(each)) if each in "0123456789" and self._random.random() < 0.8 else each for each in text
        )

    def digits(self, count: int) -> str:
        return "".join(self._random.choice("0123456789") for _ in range(count))
