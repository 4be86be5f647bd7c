"""Generated from grammar/plan.lark by `python -m growplan.language.build_grammar`. Do not edit."""
# ruff: noqa
# fmt: off

# (name, is a regular expression, pattern), in the order in which they are tried
TERMINALS: tuple[tuple[str, bool, str], ...] = (
    ('LABEL', True, '[A-Za-z_][\\w-]*[ \t]*:(?=\\s|$)'),
    ('COMMA', False, ','),
    ('DEEPEN', False, 'deepen'),
    ('EXPERTS', False, 'experts'),
    ('EXTENDS', False, 'extends'),
    ('FAMILY', False, 'family'),
    ('FFN', False, 'ffn'),
    ('FOR', False, 'for'),
    ('GROW', False, 'grow'),
    ('GROWPLAN', False, 'growplan'),
    ('MASK_IN', False, 'mask-in'),
    ('ON', False, 'on'),
    ('OVER', False, 'over'),
    ('SEED', False, 'seed'),
    ('SOURCE', False, 'source'),
    ('STACK', False, 'stack'),
    ('STEPS', False, 'steps'),
    ('TARGET', False, 'target'),
    ('TO', False, 'to'),
    ('UPCYCLE', False, 'upcycle'),
    ('VIA', False, 'via'),
    ('WIDEN', False, 'widen'),
    ('ARROW', True, '→|->'),
    ('AXIS', True, '(?!(?:via|to|over|on|for|x\\d*)(?![\\w-]))[A-Za-z_]\\w*(?:-\\w+)*'),
    ('INT', True, '\\d+'),
    ('KEY', True, '[A-Za-z_]\\w*(?:-\\w+)*'),
    ('METHOD', True, '[A-Za-z]\\w*(?:-\\w+)*'),
    ('QUOTED', True, '"(?:\\\\.|[^"\\\\\n])*"'),
    ('TIMES', True, '[x×](?=\\s*\\d)'),
    ('WORD', True, '[^\\s,;"#=:][^\\s,;"]*'),
)
# (name, number of symbols)
RULES: tuple[tuple[str, int], ...] = (
    ('__grow_star_2', 2),  # __grow_star_2 : COMMA growth
    ('__grow_star_2', 3),  # __grow_star_2 : __grow_star_2 COMMA growth
    ('__step_star_1', 2),  # __step_star_1 : __step_star_1 option
    ('__step_star_1', 1),  # __step_star_1 : option
    ('_header_key', 1),  # _header_key : EXTENDS
    ('_header_key', 1),  # _header_key : FAMILY
    ('_header_key', 1),  # _header_key : GROWPLAN
    ('_header_key', 1),  # _header_key : SEED
    ('_header_key', 1),  # _header_key : SOURCE
    ('_header_key', 1),  # _header_key : TARGET
    ('_resize_verb', 1),  # _resize_verb : DEEPEN
    ('_resize_verb', 1),  # _resize_verb : MASK_IN
    ('_resize_verb', 1),  # _resize_verb : STACK
    ('_resize_verb', 1),  # _resize_verb : WIDEN
    ('_value', 1),  # _value : QUOTED
    ('_value', 1),  # _value : WORD
    ('for', 2),  # for : FOR INT
    ('for', 3),  # for : FOR INT STEPS
    ('grow', 4),  # grow : GROW growth __grow_star_2 via
    ('grow', 5),  # grow : GROW growth __grow_star_2 via for
    ('grow', 5),  # grow : GROW growth __grow_star_2 via on
    ('grow', 6),  # grow : GROW growth __grow_star_2 via on for
    ('grow', 3),  # grow : GROW growth via
    ('grow', 4),  # grow : GROW growth via for
    ('grow', 4),  # grow : GROW growth via on
    ('grow', 5),  # grow : GROW growth via on for
    ('growth', 2),  # growth : AXIS size
    ('header', 2),  # header : _header_key _value
    ('on', 2),  # on : ON _value
    ('option', 3),  # option : COMMA KEY _value
    ('option', 3),  # option : COMMA OVER INT
    ('option', 4),  # option : COMMA OVER INT STEPS
    ('over', 2),  # over : OVER INT
    ('over', 3),  # over : OVER INT STEPS
    ('resize', 2),  # resize : _resize_verb AXIS
    ('resize', 3),  # resize : _resize_verb AXIS over
    ('resize', 3),  # resize : _resize_verb AXIS size
    ('resize', 4),  # resize : _resize_verb AXIS size over
    ('resize', 4),  # resize : _resize_verb AXIS size via
    ('resize', 5),  # resize : _resize_verb AXIS size via over
    ('resize', 3),  # resize : _resize_verb AXIS via
    ('resize', 4),  # resize : _resize_verb AXIS via over
    ('size', 2),  # size : ARROW INT
    ('size', 3),  # size : INT ARROW INT
    ('size', 3),  # size : INT TIMES INT
    ('size', 2),  # size : TIMES INT
    ('size', 2),  # size : TO INT
    ('statement', 1),  # statement : header
    ('statement', 1),  # statement : step
    ('step', 2),  # step : LABEL grow
    ('step', 3),  # step : LABEL grow __step_star_1
    ('step', 2),  # step : LABEL resize
    ('step', 3),  # step : LABEL resize __step_star_1
    ('step', 2),  # step : LABEL upcycle
    ('step', 3),  # step : LABEL upcycle __step_star_1
    ('step', 1),  # step : grow
    ('step', 2),  # step : grow __step_star_1
    ('step', 1),  # step : resize
    ('step', 2),  # step : resize __step_star_1
    ('step', 1),  # step : upcycle
    ('step', 2),  # step : upcycle __step_star_1
    ('upcycle', 5),  # upcycle : UPCYCLE FFN TO INT EXPERTS
    ('upcycle', 6),  # upcycle : UPCYCLE FFN TO INT EXPERTS via
    ('via', 2),  # via : VIA METHOD
)
# symbol -> state to go to, or -(rule to reduce by) - 1
STATES: tuple[dict[str, int], ...] = (
    {'DEEPEN': 1, 'EXTENDS': 2, 'FAMILY': 3, 'GROW': 4, 'GROWPLAN': 5, 'LABEL': 6, 'MASK_IN': 7, 'SEED': 8, 'SOURCE': 9, 'STACK': 10, 'TARGET': 11, 'UPCYCLE': 12, 'WIDEN': 13, '_header_key': 14, '_resize_verb': 15, 'grow': 16, 'header': 17, 'resize': 18, 'statement': 19, 'step': 20, 'upcycle': 21},
    {'AXIS': -11},
    {'QUOTED': -5, 'WORD': -5},
    {'QUOTED': -6, 'WORD': -6},
    {'AXIS': 22, 'growth': 23},
    {'QUOTED': -7, 'WORD': -7},
    {'DEEPEN': 1, 'GROW': 4, 'MASK_IN': 7, 'STACK': 10, 'UPCYCLE': 12, 'WIDEN': 13, '_resize_verb': 15, 'grow': 24, 'resize': 25, 'upcycle': 26},
    {'AXIS': -12},
    {'QUOTED': -8, 'WORD': -8},
    {'QUOTED': -9, 'WORD': -9},
    {'AXIS': -13},
    {'QUOTED': -10, 'WORD': -10},
    {'FFN': 27},
    {'AXIS': -14},
    {'QUOTED': 28, 'WORD': 29, '_value': 30},
    {'AXIS': 31},
    {'$END': -56, 'COMMA': 32, '__step_star_1': 33, 'option': 34},
    {'$END': -48},
    {'$END': -58, 'COMMA': 32, '__step_star_1': 35, 'option': 34},
    {},
    {'$END': -49},
    {'$END': -60, 'COMMA': 32, '__step_star_1': 36, 'option': 34},
    {'ARROW': 37, 'INT': 38, 'TIMES': 39, 'TO': 40, 'size': 41},
    {'COMMA': 42, 'VIA': 43, '__grow_star_2': 44, 'via': 45},
    {'$END': -50, 'COMMA': 32, '__step_star_1': 46, 'option': 34},
    {'$END': -52, 'COMMA': 32, '__step_star_1': 47, 'option': 34},
    {'$END': -54, 'COMMA': 32, '__step_star_1': 48, 'option': 34},
    {'TO': 49},
    {'$END': -15, 'COMMA': -15, 'FOR': -15},
    {'$END': -16, 'COMMA': -16, 'FOR': -16},
    {'$END': -28},
    {'$END': -35, 'ARROW': 37, 'COMMA': -35, 'INT': 38, 'OVER': 50, 'TIMES': 39, 'TO': 40, 'VIA': 43, 'over': 51, 'size': 52, 'via': 53},
    {'KEY': 54, 'OVER': 55},
    {'$END': -57, 'COMMA': 32, 'option': 56},
    {'$END': -4, 'COMMA': -4},
    {'$END': -59, 'COMMA': 32, 'option': 56},
    {'$END': -61, 'COMMA': 32, 'option': 56},
    {'INT': 57},
    {'ARROW': 58, 'TIMES': 59},
    {'INT': 60},
    {'INT': 61},
    {'COMMA': -27, 'VIA': -27},
    {'AXIS': 22, 'growth': 62},
    {'METHOD': 63},
    {'COMMA': 64, 'VIA': 43, 'via': 65},
    {'$END': -23, 'COMMA': -23, 'FOR': 66, 'ON': 67, 'for': 68, 'on': 69},
    {'$END': -51, 'COMMA': 32, 'option': 56},
    {'$END': -53, 'COMMA': 32, 'option': 56},
    {'$END': -55, 'COMMA': 32, 'option': 56},
    {'INT': 70},
    {'INT': 71},
    {'$END': -36, 'COMMA': -36},
    {'$END': -37, 'COMMA': -37, 'OVER': 50, 'VIA': 43, 'over': 72, 'via': 73},
    {'$END': -41, 'COMMA': -41, 'OVER': 50, 'over': 74},
    {'QUOTED': 28, 'WORD': 29, '_value': 75},
    {'INT': 76},
    {'$END': -3, 'COMMA': -3},
    {'$END': -43, 'COMMA': -43, 'OVER': -43, 'VIA': -43},
    {'INT': 77},
    {'INT': 78},
    {'$END': -46, 'COMMA': -46, 'OVER': -46, 'VIA': -46},
    {'$END': -47, 'COMMA': -47, 'OVER': -47, 'VIA': -47},
    {'COMMA': -1, 'VIA': -1},
    {'$END': -64, 'COMMA': -64, 'FOR': -64, 'ON': -64, 'OVER': -64},
    {'AXIS': 22, 'growth': 79},
    {'$END': -19, 'COMMA': -19, 'FOR': 66, 'ON': 67, 'for': 80, 'on': 81},
    {'INT': 82},
    {'QUOTED': 28, 'WORD': 29, '_value': 83},
    {'$END': -24, 'COMMA': -24},
    {'$END': -25, 'COMMA': -25, 'FOR': 66, 'for': 84},
    {'EXPERTS': 85},
    {'$END': -33, 'COMMA': -33, 'STEPS': 86},
    {'$END': -38, 'COMMA': -38},
    {'$END': -39, 'COMMA': -39, 'OVER': 50, 'over': 87},
    {'$END': -42, 'COMMA': -42},
    {'$END': -30, 'COMMA': -30},
    {'$END': -31, 'COMMA': -31, 'STEPS': 88},
    {'$END': -44, 'COMMA': -44, 'OVER': -44, 'VIA': -44},
    {'$END': -45, 'COMMA': -45, 'OVER': -45, 'VIA': -45},
    {'COMMA': -2, 'VIA': -2},
    {'$END': -20, 'COMMA': -20},
    {'$END': -21, 'COMMA': -21, 'FOR': 66, 'for': 89},
    {'$END': -17, 'COMMA': -17, 'STEPS': 90},
    {'$END': -29, 'COMMA': -29, 'FOR': -29},
    {'$END': -26, 'COMMA': -26},
    {'$END': -62, 'COMMA': -62, 'VIA': 43, 'via': 91},
    {'$END': -34, 'COMMA': -34},
    {'$END': -40, 'COMMA': -40},
    {'$END': -32, 'COMMA': -32},
    {'$END': -22, 'COMMA': -22},
    {'$END': -18, 'COMMA': -18},
    {'$END': -63, 'COMMA': -63},
)
START = 0
END = 19
