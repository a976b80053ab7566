/** The machine's monotonic clock, ms: the same for all processes, so that one can time what another began. */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
