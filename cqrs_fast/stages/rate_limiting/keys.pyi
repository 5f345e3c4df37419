NOT_GIVEN: object
