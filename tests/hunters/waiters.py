from hunters.hunting import Hunter
HUNTER = Hunter("waiters", "", lambda s: "", lambda ask, e: None, 5.0)
