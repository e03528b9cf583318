"""Words by class, for the chunker: the closed classes of English, and what captions often use."""


def _list(text: str) -> list[str]:
    return text.split()


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _set(
    "a an the this that these those my your his her its our their some any all both each every "
    "another no one's whose either neither several many few"
)
ARTICLES = _set("a an the his her its their")
PRONOUNS = _set(
    "i you he she it we they me him us them myself himself herself itself themselves who whom "
    "which what there here someone somebody everyone everybody nobody anyone anybody"
)
PREPOSITIONS = _set(
    "of in on at to from with without by for about into onto over under above below between among "
    "behind beside besides near against along across around through during before after inside "
    "outside off up down out upon toward towards within beneath underneath beyond past next "
    "opposite than as like via per amid atop alongside throughout"
)
CLOSED = _set(
    "and or but nor so yet while when where if because although though until since is are was were "
    "be been being am has have had having do does did doing can could will would shall should may "
    "might must not n't very too also just only still already again then now ever never always "
    "often together apart away back forward how why whether please let's isn't aren't wasn't "
    "doesn't don't partly partially almost nearly higher lower closer farther further hidden "
    "hiding that's there's it's he's she's they're"
)
DIRECTIONS = _set("left right top bottom front middle center centre background foreground upper")
QUANTITIES = _set(
    "pair couple group bunch set row stack pile number lot lots series piece slice crowd line herd "
    "flock team dozen variety kind type sort"
)
MARKINGS = _set("stripes dots spots")
ADJECTIVES = _set(
    "red orange yellow green blue purple violet pink brown black white gray grey cyan "
    "turquoise golden gold silver beige tan blond blonde dark light bright pale colorful "
    "colourful small little tiny medium medium-sized large big huge giant tall short long "
    "wide narrow thin thick young old elderly new matte dull shiny glossy striped stripy "
    "dotted spotted plain furry fluffy wooden metal metallic plastic open closed empty full "
    "dirty clean wet dry hot cold round flat broken beautiful pretty cute happy sad smiling "
    "leftmost rightmost topmost bottommost highest lowest largest biggest smallest tiniest "
    "farthest nearest closest first second third last other same different single several one "
    "two three four five six seven eight nine ten asian male female bearded bald shirtless "
    "electric far half"
)
NOUNS_IN_ING = _set(
    "building ceiling ring string king wing thing something anything nothing everything painting "
    "drawing railing awning spring earring pudding icing lightning dressing topping clothing "
    "crossing wedding evening morning swing sling sibling duckling dumpling bowling wiring lining "
    "frosting landing parking meeting sting"
)
NOUNS_IN_ED = _set("shed sled bed weed seed reed breed hundred steed speed")
_STEMS = _list(
    "hold wear stand sit walk run play ride look jump eat drink carry throw catch kick hit "
    "swing climb watch read write talk speak smile laugh sleep lie lay lean hang fly swim dive "
    "surf ski skate dance sing cook cut make take give get put push pull drive park wait point "
    "reach touch use show perform prepare pose work go come leave cross chase bite lick fall "
    "slide float sail grow contain cover surround face follow pass enter see want find appear "
    "seem feed pet kiss hug say tell ask try help keep move turn open close wash clean paint "
    "draw build fix sell buy shop gather sniff splash race travel overlook rest kneel bend "
    "crouch squat stare gaze wave dress seat fill locate picture attach pile stack mount hide "
    "graze perch bark"
)
_IRREGULAR = _list(
    "held wore worn stood sat ran rode ridden ate eaten drank threw thrown caught lying lay "
    "hung flew swam dove sang cut made took taken gave got put went came left drove driven fell "
    "slid grew saw seen found fed told kept built sold bought knelt bent wears wearing lies "
    "shown"
)


def _inflected(stem: str) -> tuple[str, ...]:
    """A regular verb's forms but for -ing, which is known by its ending."""
    if stem.endswith("e"):
        return stem, stem + "s", stem + "d"
    if stem.endswith("y") and stem[-2] not in "aeiou":
        return stem, stem[:-1] + "ies", stem[:-1] + "ied"
    if stem.endswith(("s", "sh", "ch", "x", "o")):
        return stem, stem + "es", stem + "ed"
    return stem, stem + "s", stem + "ed", stem + stem[-1] + "ed"


VERBS = (
    frozenset(form for stem in _STEMS for form in _inflected(stem)) | frozenset(_IRREGULAR)
) - {"left", "face", "park", "open", "pet", "swing", "pile", "stack", "piles", "stacks", "seat"}
