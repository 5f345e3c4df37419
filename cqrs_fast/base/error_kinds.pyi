from cqrs_fast.domain_errors import DETERMINISTIC as DETERMINISTIC
