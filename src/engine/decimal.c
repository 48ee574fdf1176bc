#include "engine/decimal.h"

#include <errno.h>
#include <inttypes.h>

#define DECIMAL_MAX 1e15

int decimal_parse(struct str text, double *ret_value)
{
    struct str whole, fraction = text;
    uint64_t number = 0;
    if (!str_cut(&fraction, '.', &whole) || str_to_u64(whole, 10, &number) < 0)
        return -EINVAL;
    if (whole.n < text.n && fraction.n == 0)
        return -EINVAL;
    double value = (double)number, unit = 1.0;
    for (size_t i = 0; i < fraction.n; i++) {
        if (fraction.p[i] < '0' || fraction.p[i] > '9')
            return -EINVAL;
        unit /= 10.0;
        value += unit * (fraction.p[i] - '0');
    }
    if (value > DECIMAL_MAX)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

void decimal_add(struct buf *to, double value)
{
    bool fits = value >= 0.0 && value <= DECIMAL_MAX; /* false for NaN */
    uint64_t thousandths = fits ? (uint64_t)(value * 1000.0 + 0.5) : 0;
    buf_addf(to, "%" PRIu64 ".%03u", thousandths / 1000, (unsigned)(thousandths % 1000));
}
