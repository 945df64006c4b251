"""Words round molecules: salts and solvates, captions, Japanese names, prose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

__all__ = [
    "Salt",
    "caption",
    "formula_number",
    "full_width",
    "japanese",
    "prose",
    "salt",
]

# Multiplier, formula, charge; as often as dictionaries of drugs have them.
# Multiplier, formula, charge; as often as dictionaries of drugs have them.
_SALT_TEXT = (
    "HCl " * 14 + "2HCl " * 5 + "3HCl HBr HBr HBr 2HBr HI H2O H2O H2O H2O H2O 2H2O 2H2O 3H2O 4H2O "
    "5H2O H2SO4 H2SO4 H3PO4 H3PO4 HNO3 CH3SO3H CH3SO3H 2CH3SO3H MeSO3H TFA TFA 2TFA CF3CO2H "
    "CF3COOH CH3COOH AcOH CH3CO2H HCOOH HCO2H NH3 CH3OH MeOH EtOH C2H5OH CH2Cl2 CHCl3 DMSO HF CO2 "
    "Cl- Cl- Cl- Cl- Cl- Cl- 2Cl- 2Cl- Br- Br- Br- Br- 2Br- I- I- I- 2I- F- Na+ Na+ Na+ Na+ Na+ "
    "Na+ Na+ 2Na+ 2Na+ 2Na+ 3Na+ 4Na+ K+ K+ K+ 2K+ Li+ Ca+2 Ca+2 Mg+2 Zn+2 Al+3 Ag+ Cs+ H+ OH- "
    "NH4+ NO3- SO4-2 BF4- PF6- PF6- ClO4- TfO- OTf- CF3SO3- TsO- CF3COO- CH3COO- AcO- HSO4- "
    "CH3SO3- BPh4- SbF6- CH3SO4- HCO3- Gd+3 Bi+3 Pt+2 Fe+2 Fe+3 Cu+2 Co+2 Mn+2 Ba+2 Sr+2 NMe4+"
)
_SALTS = _SALT_TEXT.split()


@dataclass(frozen=True)
class Salt:
    """A salt, solvate or counter-ion: how many of it, its formula, its charge as ``+2``."""

    count: str
    formula: str
    charge: str

    @property
    def text(self) -> str:
        """As a label: ``2HCl``, ``Na+``."""
        return self.count + self.formula + self.charge

    def runs(self, rng: Random, minus: str) -> tuple[list[tuple[str, int]], int]:
        """Text and level (-1 subscript, 0, 1 superscript) of each run as it is printed; and which
        run is the first element."""
        runs: list[tuple[str, int]] = []
        if rng.random() < (0.1 if self.charge else 0.6):
            runs.append(
                (rng.choice("\u2022\u2022\u00b7\u2022.") + " " * rng.choice((0, 1, 2, 4)), 0)
            )
        if self.count:
            runs.append((self.count + rng.choice(("", " ", " ", "  ")), 0))
        elif rng.random() < 0.05:
            runs.append((rng.choice(("x", "x", "n", "\u00d7")) + " ", 0))
        anchor = len(runs)
        runs += [(t, -1 if t.isdigit() else 0)
                 for t in re.findall(r"[A-Z][a-z]?|\d+|.", self.formula)]  # fmt: skip
        if self.charge:
            sign, size = self.charge[0].replace("-", minus), self.charge[1:]
            gap = " " if rng.random() < 0.12 else ""
            runs.append((gap + (size + sign if rng.random() < 0.7 else sign + size), 1))
        return runs, anchor


def salt(rng: Random) -> Salt:
    """A random one."""
    match = re.fullmatch(r"(\d?)(.*?)([+-]\d?)?", rng.choice(_SALTS))
    assert match is not None
    count, formula, charge = match.groups(default="")
    if not charge and not count and rng.random() < 0.08:
        count = rng.choice("2345")
    return Salt(count, formula, charge)


_NAME_TEXT = (
    "dictyostatin corrected structure aspirin general formula example compound intermediate or and "
    "where is wherein method step yield toluene reflux THF DMF heat acid base Chiral Racemic cis "
    "trans mixture isomer ligand polymer wt% mol catalyst peptide linker core scaffold active "
    "inactive prior art enantiomer diastereomer the of in to a with by was were for said group "
    "invention wherein each independently hydrogen alkyl aryl halogen solution mL mmol stirred"
)
_NAMES = _NAME_TEXT.split()
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "Ia", "IVb", "XII")


def caption(rng: Random) -> str:
    """A line as it stands beside molecules: numbers, names, conditions, masses."""
    makers = (_heading, _number, _mark, _words, _fact)
    return rng.choices(makers, (30, 30, 12, 14, 14))[0](rng)


def _roman(rng: Random) -> str:
    return rng.choice((*_ROMAN, f"I-{rng.randrange(1, 20)}"))


def _formula(number: int) -> str:
    return f"C{number % 30 + 5}H{number % 40 + 4}N{number % 5 + 2}O{number % 7 + 2}"


def _heading(rng: Random) -> str:
    number, roman = rng.randrange(1, 400), _roman(rng)
    return rng.choice(
        (
            f"Compound {number}", f"Example {number}", f"Formula {roman}", f"Formula ({roman})",
            f"Intermediate {number}", "Chemical formula:", f"Formula: {_formula(number)}",
            f"FIG. {number % 20 + 1}A", f"Fig. {number % 20 + 1}", f"Entry {number % 12 + 1}",
            f"[{number:04d}]", f"Cpd. No. {number}",
        )
    )  # fmt: skip


def _number(rng: Random) -> str:
    number, roman = rng.randrange(1, 400), _roman(rng)
    letter = rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return rng.choice(
        (
            f"{letter}{number % 40}", f"({number % 90})", f".... ({number % 90})", f"{number % 60}",
            f"({letter})", letter, f"({letter.lower()})", roman, f"({roman})", f"Ex. {number}",
            f"No. {number}", f"{number}.", f"{number}{letter.lower()}", f"{letter}-{number % 30}",
            f"({letter}-{number % 30})", f"{number % 9}'",
        )
    )  # fmt: skip


_MARKS = (
    "Chiral", "Chiral", "(R)", "(S)", "(E)", "rac", "&1", "or1", "Racemic", "Enantiomer 1",
    "Isomer A", "cis", "(+)-", "(-)", "CHIRAL", "Relative", "Mixture of isomers", "or enantiomer",
    "Diastereomer 2",
)  # fmt: skip


def _mark(rng: Random) -> str:
    return rng.choice(_MARKS)


def _words(rng: Random) -> str:
    return prose(rng, rng.choice((1, 2, 2, 3, 6))) + rng.choice(("", ",", ".", " 12"))


def _fact(rng: Random) -> str:
    number = rng.randrange(1, 400)
    return rng.choice(
        (
            f"R1 = {rng.choice(('H', 'Me', 'OMe', 'alkyl'))}", f"n = {number % 5}-{number % 9}",
            f"X = {rng.choice('NOS')}", f"R = {rng.choice(('H', 'CH3', 'Ph'))}, R' = Et",
            f"Mol. Wt.: {number + 200}.{number % 97:02d}", _formula(number),
            f"m/z: {number + 200}.{number % 10}", f"[M+H]+ {number + 200}", f"IC50 = {number} nM",
            f"{number % 60 + 40}%", "1) NaH, THF", "K2CO3, DMF", "H2, Pd/C", f"{number} \u00b0C",
            f"MW {number + 150}.{number % 10}", f"m.p. {number}-{number + 2} \u00b0C",
        )
    )  # fmt: skip


_JAPANESE_TEXT = (
    "化合物 一般式 式中 実施例 比較例 製造例 合成例 参考例 化学式 染料 顔料 例示化合物 中間体 "
    "誘導体 樹脂 単量体 重合体 アセトン メチル エチル フェニル ベンゼン ナフタレン トルエン "
    "アミノ酸 塩酸塩 酢酸 硫酸 塩化物 酸化物 水素 窒素 を示す である または 及び 表す"
)
_JAPANESE = _JAPANESE_TEXT.split()


def full_width(text: str) -> str:
    """The same in characters as wide as Chinese ones."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isalnum() or c in "()-" else c for c in text)


def japanese(rng: Random) -> str:
    """A Japanese caption or name."""
    number = rng.randrange(1, 90)
    wide, word = full_width(str(number)), rng.choice(_JAPANESE)
    bracketed = full_width(f"({number})")
    formula = full_width(f"({rng.choice(_ROMAN)})")
    return rng.choice(
        (
            f"{word}{number}", f"{word}{bracketed}", f"【化{wide}】", f"【{word}】",
            f"{word}{rng.choice(_JAPANESE)}", word, f"化合物{wide}", bracketed, f"式{formula}",
        )
    )  # fmt: skip


def formula_number(rng: Random) -> str:
    """As it stands at the right of Japanese formulas."""
    number = rng.randrange(1, 99)
    plain, letter, roman = f"{number}", rng.choice("abc"), rng.choice("IVXAB")
    inner = rng.choice((plain, plain, roman, f"{roman}-{number}", f"{number}{letter}"))
    return rng.choice(
        (
            full_width(f"({inner})"), f"({inner})", f"\u2026\u2026({inner})", f"[{inner}]",
            f"【化{full_width(inner)}】", f"\uff08{inner}\uff09",
        )
    )  # fmt: skip


def prose(rng: Random, words: int) -> str:
    """Words one after another, as in a paragraph."""
    return " ".join(rng.choice(_NAMES) for _ in range(words))
