// The peer: a Worker that does what functions/hello.ts and functions/echo.ts do.
export default {
  fetch(request) {
    if (request.method === 'POST') return new Response(request.body)
    const name = new URL(request.url).searchParams.get('name') ?? 'world'
    return new Response(`Hello, ${name}!\n`)
  },
}
