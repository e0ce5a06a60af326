import { readFileSync } from 'node:fs'
import Handlebars from 'handlebars'

const template = Handlebars.compile(readFileSync(new URL('./hello.hbs', import.meta.url), 'utf8'))
export default () => new Response(template({ name: 'Ada' }))
