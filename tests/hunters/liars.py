from hunters.hunting import Hunter
HUNTER = Hunter("liars", "", lambda s: "", lambda ask, e: None, 5.0)
