import sharp from 'sharp'

// Installed by pnpm: every file is a hard link into its store.
const red = { width: 4, height: 3, channels: 3, background: { r: 255, g: 0, b: 0 } } as const
export default async () => Response.json(await sharp(await sharp({ create: red }).png().toBuffer()).metadata())
