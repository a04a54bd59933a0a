"""What the names of HTML's elements and attributes mean for masking."""

BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "col"}
    | {"colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure"}
    | {"footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup"}
    | {"hr", "html", "label", "legend", "li", "link", "listing", "main", "menu", "meta", "nav", "ol"}
    | {"optgroup", "option", "p", "plaintext", "pre", "search", "section", "select", "summary", "table"}
    | {"tbody", "td", "textarea", "tfoot", "th", "thead", "title", "tr", "ul", "xmp"}
)
"""Elements before and after which a text ends."""

LABELS = frozenset({"dt", "label", "th"})
"""Elements that name what follows."""

PREFORMATTED = frozenset({"listing", "pre"})

LEFT_ALONE = frozenset({"integrity", "nonce"})
"""Attributes that vouch for something: neither is a value, nor may it change."""

NAMED = frozenset({"content", "value"})
NAMING = ("name", "property", "itemprop", "id")
"""Attributes that tell what the value of an element is called."""

SCRIPTS = frozenset(
    {"", "module", "text/javascript", "application/javascript", "application/x-javascript", "text/x-javascript"}
    | {"application/ecmascript", "text/ecmascript", "text/jscript", "text/livescript"}
)
JSON_SCRIPTS = frozenset({"importmap", "speculationrules"})
