#ifndef CLOCK_H
#define CLOCK_H

double clock_seconds(void); /* since some moment in the past */
double clock_work(void);    /* that this thread has had a core; as clock_seconds where the system does not say */

#endif
