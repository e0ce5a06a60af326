// The smallest function: a fetch handler that answers with a greeting.
//   bin/fn deploy functions/hello.ts
//   curl 'http://127.0.0.1:8080/fn/hello?name=Ada'
export default {
  fetch(request: Request): Response {
    const name = new URL(request.url).searchParams.get('name') ?? 'world'
    return new Response(`Hello, ${name}!\n`)
  },
}
