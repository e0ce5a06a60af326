// Says when it began: milliseconds since the epoch, with fractions. What the lane's way from acceptance to start is taken from.
export default (): Response => new Response(String(performance.timeOrigin + performance.now()))
