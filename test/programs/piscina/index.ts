import { Piscina } from 'piscina'

const pool = new Piscina<number, number>({ filename: new URL('./worker.js', import.meta.url).href, maxThreads: 1 })
export default async () => Response.json(await pool.run(20))
