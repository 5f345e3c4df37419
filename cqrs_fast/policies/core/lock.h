/* The lock of a policy's state.
 *
 * Decisions touch no Python object, allocate nothing and cannot fail, so the GIL alone
 * makes them atomic and the lock is compiled out. A build without a GIL takes a PyMutex; a
 * harness in plain C defines CQRS_PTHREADS and takes a mutex of its own.
 */
#ifndef CQRS_FAST_LOCK_H
#define CQRS_FAST_LOCK_H

#if defined(CQRS_PTHREADS)

#include <pthread.h>
typedef pthread_mutex_t cqrs_lock;
#define cqrs_lock_init(lock) pthread_mutex_init((lock), NULL)
#define cqrs_acquire(lock) pthread_mutex_lock(lock)
#define cqrs_release(lock) pthread_mutex_unlock(lock)

#elif defined(Py_GIL_DISABLED)

typedef PyMutex cqrs_lock;
#define cqrs_lock_init(lock) (*(lock) = (PyMutex){0})
#define cqrs_acquire(lock) PyMutex_Lock(lock)
#define cqrs_release(lock) PyMutex_Unlock(lock)

#else

typedef struct { char unused[1]; } cqrs_lock;
#define cqrs_lock_init(lock) ((void)(lock))
#define cqrs_acquire(lock) ((void)(lock))
#define cqrs_release(lock) ((void)(lock))

#endif
#endif
