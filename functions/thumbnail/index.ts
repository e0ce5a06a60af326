// Resizes a posted JPEG, PNG or WebP with sharp, a native add-on: the deploy finds it and ships it as a layer of its own.
//   bin/fn deploy functions/thumbnail
//   curl -sS --data-binary @photo.jpg 'http://127.0.0.1:8080/fn/thumbnail?width=320&format=webp' > small.webp
import sharp from 'sharp'

const FORMATS = { jpeg: 'image/jpeg', png: 'image/png', webp: 'image/webp' } as const
type Format = keyof typeof FORMATS

// One thread: the sandbox has one call at a time, and its CPU limit would only make more threads wait for each other.
sharp.concurrency(1)
// Every call brings another picture: a cache would hold memory and never hit.
sharp.cache(false)

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method !== 'POST') return problem(405, 'POST a picture')
    const query = new URL(request.url).searchParams
    const width = Number(query.get('width') ?? 320)
    const format = query.get('format') ?? 'jpeg'
    if (!Number.isInteger(width) || width < 1 || width > 4096) {
      return problem(400, 'width: expected a whole number from 1 to 4096')
    }
    if (!isFormat(format)) return problem(400, `format: expected one of ${Object.keys(FORMATS).join(', ')}`)

    const picture = Buffer.from(await request.arrayBuffer())
    try {
      const { data, info } = await sharp(picture, { limitInputPixels: 50_000_000, sequentialRead: true })
        .autoOrient()
        .resize({ width, withoutEnlargement: true })
        .toFormat(format, { quality: 80 })
        .toBuffer({ resolveWithObject: true })
      return new Response(new Uint8Array(data), {
        headers: { 'content-type': FORMATS[format], 'x-width': `${info.width}`, 'x-height': `${info.height}` },
      })
    } catch (error) {
      return problem(415, `not a picture sharp can read: ${(error as Error).message}`)
    }
  },
}

function isFormat(text: string): text is Format {
  return Object.hasOwn(FORMATS, text)
}

function problem(status: number, error: string): Response {
  return Response.json({ error }, { status })
}
