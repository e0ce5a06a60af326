// Works for a while: `?ms=10` uses ten milliseconds of CPU. A burst of such calls needs more than one sandbox.
export default (request: Request): Response => {
  const ms = Number(new URL(request.url).searchParams.get('ms') ?? 10)
  const begun = process.cpuUsage()
  let used = 0
  while (used < ms) {
    const { user, system } = process.cpuUsage(begun)
    used = (user + system) / 1000
  }
  return new Response('worked\n')
}
