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
    ('FREEZE', False, 'freeze'),
    ('GROW', False, 'grow'),
    ('GROWPLAN', False, 'growplan'),
    ('MASK_IN', False, 'mask-in'),
    ('ON', False, 'on'),
    ('OVER', False, 'over'),
    ('SEED', False, 'seed'),
    ('SOURCE', False, 'source'),
    ('STACK', False, 'stack'),
    ('STAGE', False, 'stage'),
    ('STEPS', False, 'steps'),
    ('TARGET', False, 'target'),
    ('TO', False, 'to'),
    ('TOKENS', False, 'tokens'),
    ('TRAIN', False, 'train'),
    ('TRAIN_ONLY', False, 'train-only'),
    ('UPCYCLE', False, 'upcycle'),
    ('VIA', False, 'via'),
    ('WIDEN', False, 'widen'),
    ('ARROW', True, '→|->'),
    ('AXIS', True, '(?!(?:via|to|over|on|for|x\\d*)(?![\\w-]))[A-Za-z_]\\w*(?:-\\w+)*'),
    ('COUNT', True, '\\d+(?:\\.\\d+)?[kKMGB]?(?![\\w.])'),
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
    ('__part_plus_5', 2),  # __part_plus_5 : __part_plus_5 _value
    ('__part_plus_5', 1),  # __part_plus_5 : _value
    ('__parts_star_4', 2),  # __parts_star_4 : COMMA part
    ('__parts_star_4', 3),  # __parts_star_4 : __parts_star_4 COMMA part
    ('__step_star_1', 2),  # __step_star_1 : __step_star_1 option
    ('__step_star_1', 1),  # __step_star_1 : option
    ('__train_star_3', 2),  # __train_star_3 : COMMA length
    ('__train_star_3', 2),  # __train_star_3 : COMMA on
    ('__train_star_3', 2),  # __train_star_3 : COMMA setting
    ('__train_star_3', 3),  # __train_star_3 : __train_star_3 COMMA length
    ('__train_star_3', 3),  # __train_star_3 : __train_star_3 COMMA on
    ('__train_star_3', 3),  # __train_star_3 : __train_star_3 COMMA setting
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
    ('length', 3),  # length : FOR COUNT STEPS
    ('length', 3),  # length : FOR COUNT TOKENS
    ('on', 2),  # on : ON _value
    ('option', 3),  # option : COMMA KEY _value
    ('option', 3),  # option : COMMA OVER INT
    ('option', 4),  # option : COMMA OVER INT STEPS
    ('over', 2),  # over : OVER INT
    ('over', 3),  # over : OVER INT STEPS
    ('part', 1),  # part : __part_plus_5
    ('parts', 2),  # parts : FREEZE part
    ('parts', 3),  # parts : FREEZE part __parts_star_4
    ('parts', 2),  # parts : TRAIN_ONLY part
    ('parts', 3),  # parts : TRAIN_ONLY part __parts_star_4
    ('resize', 2),  # resize : _resize_verb AXIS
    ('resize', 3),  # resize : _resize_verb AXIS over
    ('resize', 3),  # resize : _resize_verb AXIS size
    ('resize', 4),  # resize : _resize_verb AXIS size over
    ('resize', 4),  # resize : _resize_verb AXIS size via
    ('resize', 5),  # resize : _resize_verb AXIS size via over
    ('resize', 3),  # resize : _resize_verb AXIS via
    ('resize', 4),  # resize : _resize_verb AXIS via over
    ('setting', 2),  # setting : KEY _value
    ('size', 2),  # size : ARROW INT
    ('size', 3),  # size : INT ARROW INT
    ('size', 3),  # size : INT TIMES INT
    ('size', 2),  # size : TIMES INT
    ('size', 2),  # size : TO INT
    ('stage', 2),  # stage : STAGE WORD
    ('statement', 1),  # statement : header
    ('statement', 1),  # statement : parts
    ('statement', 1),  # statement : stage
    ('statement', 1),  # statement : step
    ('statement', 1),  # statement : train
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
    ('train', 1),  # train : TRAIN
    ('train', 2),  # train : TRAIN __train_star_3
    ('train', 2),  # train : TRAIN length
    ('train', 3),  # train : TRAIN length __train_star_3
    ('train', 3),  # train : TRAIN length on
    ('train', 4),  # train : TRAIN length on __train_star_3
    ('train', 2),  # train : TRAIN on
    ('train', 3),  # train : TRAIN on __train_star_3
    ('train', 3),  # train : TRAIN on length
    ('train', 4),  # train : TRAIN on length __train_star_3
    ('train', 2),  # train : TRAIN setting
    ('train', 3),  # train : TRAIN setting __train_star_3
    ('upcycle', 5),  # upcycle : UPCYCLE FFN TO INT EXPERTS
    ('upcycle', 6),  # upcycle : UPCYCLE FFN TO INT EXPERTS via
    ('via', 2),  # via : VIA METHOD
)
# symbol -> state to go to, or -(rule to reduce by) - 1
STATES: tuple[dict[str, int], ...] = (
    {'DEEPEN': 1, 'EXTENDS': 2, 'FAMILY': 3, 'FREEZE': 4, 'GROW': 5, 'GROWPLAN': 6, 'LABEL': 7, 'MASK_IN': 8, 'SEED': 9, 'SOURCE': 10, 'STACK': 11, 'STAGE': 12, 'TARGET': 13, 'TRAIN': 14, 'TRAIN_ONLY': 15, 'UPCYCLE': 16, 'WIDEN': 17, '_header_key': 18, '_resize_verb': 19, 'grow': 20, 'header': 21, 'parts': 22, 'resize': 23, 'stage': 24, 'statement': 25, 'step': 26, 'train': 27, 'upcycle': 28},
    {'AXIS': -21},
    {'QUOTED': -15, 'WORD': -15},
    {'QUOTED': -16, 'WORD': -16},
    {'QUOTED': 29, 'WORD': 30, '__part_plus_5': 31, '_value': 32, 'part': 33},
    {'AXIS': 34, 'growth': 35},
    {'QUOTED': -17, 'WORD': -17},
    {'DEEPEN': 1, 'GROW': 5, 'MASK_IN': 8, 'STACK': 11, 'UPCYCLE': 16, 'WIDEN': 17, '_resize_verb': 19, 'grow': 36, 'resize': 37, 'upcycle': 38},
    {'AXIS': -22},
    {'QUOTED': -18, 'WORD': -18},
    {'QUOTED': -19, 'WORD': -19},
    {'AXIS': -23},
    {'WORD': 39},
    {'QUOTED': -20, 'WORD': -20},
    {'$END': -84, 'COMMA': 40, 'FOR': 41, 'KEY': 42, 'ON': 43, '__train_star_3': 44, 'length': 45, 'on': 46, 'setting': 47},
    {'QUOTED': 29, 'WORD': 30, '__part_plus_5': 31, '_value': 32, 'part': 48},
    {'FFN': 49},
    {'AXIS': -24},
    {'QUOTED': 29, 'WORD': 30, '_value': 50},
    {'AXIS': 51},
    {'$END': -78, 'COMMA': 52, '__step_star_1': 53, 'option': 54},
    {'$END': -67},
    {'$END': -68},
    {'$END': -80, 'COMMA': 52, '__step_star_1': 55, 'option': 54},
    {'$END': -69},
    {},
    {'$END': -70},
    {'$END': -71},
    {'$END': -82, 'COMMA': 52, '__step_star_1': 56, 'option': 54},
    {'$END': -25, 'COMMA': -25, 'FOR': -25, 'QUOTED': -25, 'WORD': -25},
    {'$END': -26, 'COMMA': -26, 'FOR': -26, 'QUOTED': -26, 'WORD': -26},
    {'$END': -47, 'COMMA': -47, 'QUOTED': 29, 'WORD': 30, '_value': 57},
    {'$END': -4, 'COMMA': -4, 'QUOTED': -4, 'WORD': -4},
    {'$END': -48, 'COMMA': 58, '__parts_star_4': 59},
    {'ARROW': 60, 'INT': 61, 'TIMES': 62, 'TO': 63, 'size': 64},
    {'COMMA': 65, 'VIA': 66, '__grow_star_2': 67, 'via': 68},
    {'$END': -72, 'COMMA': 52, '__step_star_1': 69, 'option': 54},
    {'$END': -74, 'COMMA': 52, '__step_star_1': 70, 'option': 54},
    {'$END': -76, 'COMMA': 52, '__step_star_1': 71, 'option': 54},
    {'$END': -66},
    {'FOR': 41, 'KEY': 42, 'ON': 43, 'length': 72, 'on': 73, 'setting': 74},
    {'COUNT': 75},
    {'QUOTED': 29, 'WORD': 30, '_value': 76},
    {'QUOTED': 29, 'WORD': 30, '_value': 77},
    {'$END': -85, 'COMMA': 78},
    {'$END': -86, 'COMMA': 40, 'ON': 43, '__train_star_3': 79, 'on': 80},
    {'$END': -90, 'COMMA': 40, 'FOR': 41, '__train_star_3': 81, 'length': 82},
    {'$END': -94, 'COMMA': 40, '__train_star_3': 83},
    {'$END': -50, 'COMMA': 58, '__parts_star_4': 84},
    {'TO': 85},
    {'$END': -38},
    {'$END': -52, 'ARROW': 60, 'COMMA': -52, 'INT': 61, 'OVER': 86, 'TIMES': 62, 'TO': 63, 'VIA': 66, 'over': 87, 'size': 88, 'via': 89},
    {'KEY': 90, 'OVER': 91},
    {'$END': -79, 'COMMA': 52, 'option': 92},
    {'$END': -8, 'COMMA': -8},
    {'$END': -81, 'COMMA': 52, 'option': 92},
    {'$END': -83, 'COMMA': 52, 'option': 92},
    {'$END': -3, 'COMMA': -3, 'QUOTED': -3, 'WORD': -3},
    {'QUOTED': 29, 'WORD': 30, '__part_plus_5': 31, '_value': 32, 'part': 93},
    {'$END': -49, 'COMMA': 94},
    {'INT': 95},
    {'ARROW': 96, 'TIMES': 97},
    {'INT': 98},
    {'INT': 99},
    {'COMMA': -37, 'VIA': -37},
    {'AXIS': 34, 'growth': 100},
    {'METHOD': 101},
    {'COMMA': 102, 'VIA': 66, 'via': 103},
    {'$END': -33, 'COMMA': -33, 'FOR': 104, 'ON': 43, 'for': 105, 'on': 106},
    {'$END': -73, 'COMMA': 52, 'option': 92},
    {'$END': -75, 'COMMA': 52, 'option': 92},
    {'$END': -77, 'COMMA': 52, 'option': 92},
    {'$END': -9, 'COMMA': -9},
    {'$END': -10, 'COMMA': -10},
    {'$END': -11, 'COMMA': -11},
    {'STEPS': 107, 'TOKENS': 108},
    {'$END': -60, 'COMMA': -60},
    {'$END': -41, 'COMMA': -41, 'FOR': -41},
    {'FOR': 41, 'KEY': 42, 'ON': 43, 'length': 109, 'on': 110, 'setting': 111},
    {'$END': -87, 'COMMA': 78},
    {'$END': -88, 'COMMA': 40, '__train_star_3': 112},
    {'$END': -91, 'COMMA': 78},
    {'$END': -92, 'COMMA': 40, '__train_star_3': 113},
    {'$END': -95, 'COMMA': 78},
    {'$END': -51, 'COMMA': 94},
    {'INT': 114},
    {'INT': 115},
    {'$END': -53, 'COMMA': -53},
    {'$END': -54, 'COMMA': -54, 'OVER': 86, 'VIA': 66, 'over': 116, 'via': 117},
    {'$END': -58, 'COMMA': -58, 'OVER': 86, 'over': 118},
    {'QUOTED': 29, 'WORD': 30, '_value': 119},
    {'INT': 120},
    {'$END': -7, 'COMMA': -7},
    {'$END': -5, 'COMMA': -5},
    {'QUOTED': 29, 'WORD': 30, '__part_plus_5': 31, '_value': 32, 'part': 121},
    {'$END': -61, 'COMMA': -61, 'OVER': -61, 'VIA': -61},
    {'INT': 122},
    {'INT': 123},
    {'$END': -64, 'COMMA': -64, 'OVER': -64, 'VIA': -64},
    {'$END': -65, 'COMMA': -65, 'OVER': -65, 'VIA': -65},
    {'COMMA': -1, 'VIA': -1},
    {'$END': -98, 'COMMA': -98, 'FOR': -98, 'ON': -98, 'OVER': -98},
    {'AXIS': 34, 'growth': 124},
    {'$END': -29, 'COMMA': -29, 'FOR': 104, 'ON': 43, 'for': 125, 'on': 126},
    {'INT': 127},
    {'$END': -34, 'COMMA': -34},
    {'$END': -35, 'COMMA': -35, 'FOR': 104, 'for': 128},
    {'$END': -39, 'COMMA': -39, 'ON': -39},
    {'$END': -40, 'COMMA': -40, 'ON': -40},
    {'$END': -12, 'COMMA': -12},
    {'$END': -13, 'COMMA': -13},
    {'$END': -14, 'COMMA': -14},
    {'$END': -89, 'COMMA': 78},
    {'$END': -93, 'COMMA': 78},
    {'EXPERTS': 129},
    {'$END': -45, 'COMMA': -45, 'STEPS': 130},
    {'$END': -55, 'COMMA': -55},
    {'$END': -56, 'COMMA': -56, 'OVER': 86, 'over': 131},
    {'$END': -59, 'COMMA': -59},
    {'$END': -42, 'COMMA': -42},
    {'$END': -43, 'COMMA': -43, 'STEPS': 132},
    {'$END': -6, 'COMMA': -6},
    {'$END': -62, 'COMMA': -62, 'OVER': -62, 'VIA': -62},
    {'$END': -63, 'COMMA': -63, 'OVER': -63, 'VIA': -63},
    {'COMMA': -2, 'VIA': -2},
    {'$END': -30, 'COMMA': -30},
    {'$END': -31, 'COMMA': -31, 'FOR': 104, 'for': 133},
    {'$END': -27, 'COMMA': -27, 'STEPS': 134},
    {'$END': -36, 'COMMA': -36},
    {'$END': -96, 'COMMA': -96, 'VIA': 66, 'via': 135},
    {'$END': -46, 'COMMA': -46},
    {'$END': -57, 'COMMA': -57},
    {'$END': -44, 'COMMA': -44},
    {'$END': -32, 'COMMA': -32},
    {'$END': -28, 'COMMA': -28},
    {'$END': -97, 'COMMA': -97},
)
START = 0
END = 25
