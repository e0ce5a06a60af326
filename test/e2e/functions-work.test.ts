// The examples that do real work, on real data: a photograph, this repository's README, 8 MB binaries, signed webhooks.
import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import sharp, { type Sharp } from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { sha256 } from '../support/streams.ts'
import { until } from '../support/until.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform?.stop())

describe('thumbnail', () => {
  beforeAll(() => platform.deploy('functions/thumbnail'))

  test('shrinks a 12-megapixel photograph', async () => {
    const photo = await photograph(4000, 3000).jpeg({ quality: 90 }).toBuffer()
    expect(photo.length).toBeGreaterThan(2_000_000)
    const response = await upload('/fn/thumbnail?width=320&format=webp', photo)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/webp'])
    const small = Buffer.from(await response.arrayBuffer())
    expect(await sharp(small).metadata()).toMatchObject({ format: 'webp', width: 320, height: 240 })
    // The gradient runs from dark to light: still the same picture.
    const { data } = await sharp(small)
      .resize(2, 1, { fit: 'fill' })
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect(data[1]).toBeGreaterThan(data[0] ?? 255)
  })

  test('reads PNG and writes JPEG', async () => {
    const response = await upload('/fn/thumbnail?width=100', await photograph(800, 800).png().toBuffer())
    const small = Buffer.from(await response.arrayBuffer())
    expect(await sharp(small).metadata()).toMatchObject({ format: 'jpeg', width: 100, height: 100 })
  })

  test('says that a text is not a picture', async () => {
    const response = await upload('/fn/thumbnail', Buffer.from('not a picture'))
    expect(response.status).toBe(415)
  })
})

describe('markdown', () => {
  beforeAll(() => platform.deploy('functions/markdown.ts'))

  test("renders this repository's README", async () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const response = await platform.request('/fn/markdown', { method: 'POST', body: readme })
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const html = await response.text()
    const prose = readme.replace(/^```[\s\S]*?^```/gm, '')
    expect(html.match(/<h2 id="/g)?.length).toBe(prose.match(/^## /gm)?.length)
    expect(html.match(/<pre><code/g)?.length).toBe((readme.match(/^```/gm)?.length ?? 0) / 2)
    expect(html).toMatch(/<h1 id="[^"]+">/)
  })

  test('refuses an empty document and other methods', async () => {
    expect((await platform.request('/fn/markdown', { method: 'POST', body: '  \n' })).status).toBe(400)
    expect((await platform.request('/fn/markdown')).status).toBe(405)
  })
})

describe('zip', () => {
  beforeAll(() => platform.deploy('functions/zip'))

  test('archives two 8 MB binaries and the README', async () => {
    const first = randomBytes(8_000_000)
    const second = randomBytes(8_000_000)
    const readme = readFileSync(join(ROOT, 'README.md'))
    const form = new FormData()
    form.append('file', new File([first], 'data.bin'))
    form.append('file', new File([second], 'data.bin'))
    form.append('file', new File([readme], '../../README.md'))
    const response = await platform.request('/fn/zip', { method: 'POST', body: form })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/zip'])
    const archive = new Uint8Array(await response.arrayBuffer())
    expect(archive.length).toBe(Number(response.headers.get('content-length')))
    const files = unzipSync(archive)
    expect(Object.keys(files)).toEqual(['data.bin', 'data (2).bin', 'README.md'])
    const hashes = Object.values(files).map(sha256)
    expect(hashes).toEqual([first, second, readme].map(sha256))
  })

  test('starts with an empty /tmp on every call: the archive before is gone', async () => {
    for (let call = 0; call < 4; call++) {
      // Four times 30 MB would not fit into its 96 MB.
      const form = new FormData()
      form.append('file', new File([randomBytes(30_000_000)], 'big.gz'))
      const response = await platform.request('/fn/zip', { method: 'POST', body: form })
      expect(response.status).toBe(200)
      expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(30_000_000)
    }
  })

  test('says what is wrong with a body that is no form', async () => {
    const response = await platform.request('/fn/zip', { method: 'POST', body: 'x' })
    expect(response.status).toBe(400)
  })
})

describe('webhook', () => {
  beforeAll(() => platform.deploy('functions/webhook.ts'))
  const { env } = JSON.parse(readFileSync(join(ROOT, 'functions/webhook.fn.json'), 'utf8')) as {
    env: { WEBHOOK_SECRET: string }
  }
  const body = JSON.stringify({ event: 'order.paid', order: 42, note: 'grüße' })
  const signature = createHmac('sha256', env.WEBHOOK_SECRET).update(body).digest('hex')

  test('takes a signed payload asynchronously: 202, then the record, the result and the log', async () => {
    const id = await send(signature)
    expect(await settled(id)).toMatchObject({ state: 'succeeded', function: 'webhook', status: 200, attempt: 1 })
    const result = await platform.request(`/v1/invocations/${id}/result`)
    expect(result.status).toBe(200)
    expect(await result.json()).toEqual({ accepted: 'order.paid', attempt: 1, key: id })
    const logs = await (await platform.request(`/v1/invocations/${id}/logs`)).text()
    expect(logs).toContain('order.paid accepted')
  })

  test('refuses a wrong signature once and for all: no second attempt', async () => {
    const id = await send(signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0')))
    expect(await settled(id)).toMatchObject({ state: 'failed', status: 401, attempt: 1 })
  })

  test('answers the same synchronously', async () => {
    const call = (header: string) =>
      platform.request('/fn/webhook', { method: 'POST', body, headers: { 'x-hub-signature-256': header } })
    expect((await call(`sha256=${signature}`)).status).toBe(200)
    expect((await call('sha256=')).status).toBe(401)
  })

  async function send(hex: string): Promise<string> {
    const headers = { prefer: 'respond-async', 'x-hub-signature-256': `sha256=${hex}` }
    const response = await platform.request('/fn/webhook', { method: 'POST', body, headers })
    expect(response.status).toBe(202)
    expect(response.headers.get('preference-applied')).toBe('respond-async')
    const location = response.headers.get('location') ?? ''
    expect(location).toMatch(/^\/v1\/invocations\/[0-9a-f-]{36}$/)
    return location.slice('/v1/invocations/'.length)
  }

  async function settled(id: string): Promise<unknown> {
    let record = { state: 'unknown' }
    await until(`${id} has ended`, async () => {
      record = await platform.json<typeof record>(`/v1/invocations/${id}`)
      return ['succeeded', 'failed', 'timed-out'].includes(record.state) || record.state
    })
    return record
  }
})

function upload(path: string, body: Buffer): Promise<Response> {
  return platform.request(path, { method: 'POST', body: new Uint8Array(body), headers: { 'content-type': 'image/*' } })
}

/** Grain over a left-to-right gradient: compresses about as badly as a photograph. */
function photograph(width: number, height: number): Sharp {
  const gradient = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><defs><linearGradient id="g">` +
      '<stop offset="0" stop-color="#102040"/><stop offset="1" stop-color="#f0d0a0"/></linearGradient></defs>' +
      '<rect width="100%" height="100%" fill="url(#g)"/></svg>',
  )
  return sharp({
    create: { width, height, channels: 3, background: '#808080', noise: { type: 'gaussian', mean: 128, sigma: 30 } },
  }).composite([{ input: gradient, blend: 'overlay' }])
}
