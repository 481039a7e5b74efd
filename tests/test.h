/* test.h: what every test file begins with: cmocka, and a main that can run one test by name.
 *
 *     int main(int argc, char **argv)
 *     {
 *         static const struct CMUnitTest tests[] = { cmocka_unit_test(a_sentence_for_a_name), ... };
 *         return usher_test_main(argc, argv, tests);
 *     }
 *
 * CTest knows each function by its name: tests/CMakeLists.txt reads the cmocka_unit_test(...) lines. */
#ifndef USHER_TEST_H
#define USHER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Run the test that argv[1] names, or all of them. */
#define usher_test_main(argc, argv, tests) \
    ((argc) > 1 ? cmocka_set_test_filter((argv)[1]) : (void)0, cmocka_run_group_tests((tests), NULL, NULL))

#endif
