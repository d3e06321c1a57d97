#ifndef CLOCK_H
#define CLOCK_H

double clock_seconds(void); /* since some moment in the past */
double clock_work(void);    /* that this thread has had a core; as clock_seconds where the system does not say */
const char *clock_text(double seconds); /* "12 s", "3 min", "1.5 h"; valid until the next call */

#endif
