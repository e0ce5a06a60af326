import { join } from 'node:path'
import express from 'express'
import { fromNode } from 'thaw'

// Renders a template of its own and serves a folder.
const app = express()
app.set('views', join(import.meta.dirname, 'views'))
app.set('view engine', 'ejs')
app.use('/static', express.static(join(import.meta.dirname, 'public')))
app.get('/', (_request, response) => response.render('page', { name: 'Ada' }))
export default fromNode(app)
