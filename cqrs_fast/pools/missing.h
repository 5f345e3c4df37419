#ifndef CQRS_FAST_MISSING_H
#define CQRS_FAST_MISSING_H

/* Known to the compiler: other builds keep nothing of what is done for it. */
#define CQRS_IS_DEBUG (CQRS_FAST_BUILD_MODE[0] == 'd')

#endif
