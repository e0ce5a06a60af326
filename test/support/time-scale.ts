// How much longer everything may take where the tests run: 1, or more on an emulated machine (test/v2/ sets the variable).
// For time-outs and deadlines of tests; for an assertion only where it bounds time from above.

export const timeScale = Number(process.env.THAW_TEST_TIME_SCALE ?? '1')
