from hunters.hunting import Hunter
HUNTER = Hunter("reborn", "", lambda s: "", lambda ask, e: None, 5.0)
