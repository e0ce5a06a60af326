// Signatures of callbacks by the Standard Webhooks specification 1.0: HMAC-SHA256 over id, time and body. Pure but for the
// random bytes of a new secret. Source: https://www.standardwebhooks.com, "Signature scheme".
import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32

export function createWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/** The value of `webhook-signature`: one `v1,…` for each secret, so that a receiver may hold the old one or the new one. */
export function webhookSignature(secrets: readonly string[], id: string, timestampS: number, body: Buffer): string {
  const signed = Buffer.concat([Buffer.from(`${id}.${timestampS}.`), body])
  return secrets
    .map((secret) => {
      const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
      return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
    })
    .join(' ')
}
