// Renders a posted Markdown document to a page of HTML with `marked`, with a table of contents.
//   bin/fn deploy functions/markdown.ts
//   curl -sS --data-binary @README.md http://127.0.0.1:8080/fn/markdown > readme.html
import { Marked, type Token, type Tokens } from 'marked'

interface Heading {
  readonly depth: number
  readonly id: string
  readonly html: string
}

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method !== 'POST') {
      return new Response('POST a Markdown document\n', { status: 405, headers: { allow: 'POST' } })
    }
    const source = await request.text()
    if (source.trim() === '') return new Response('the document is empty\n', { status: 400 })
    return new Response(renderPage(source), { headers: { 'content-type': 'text/html; charset=utf-8' } })
  },
}

function renderPage(source: string): string {
  const headings: Heading[] = []
  const slugs = new Map<string, number>()
  const marked = new Marked({ gfm: true })
  marked.use({
    renderer: {
      heading({ tokens, depth }) {
        const html = this.parser.parseInline(tokens)
        const id = uniqueSlug(plainText(tokens), slugs)
        headings.push({ depth, id, html })
        return `<h${depth} id="${id}">${html}</h${depth}>\n`
      },
    },
  })
  const body = marked.parse(source, { async: false })
  const title = headings[0]?.html.replace(/<[^>]*>/g, '') ?? 'Document'
  const contents = headings
    .filter((heading) => heading.depth === 2)
    .map((heading) => `<li><a href="#${heading.id}">${heading.html}</a></li>`)
  const nav = contents.length > 1 ? `<nav><ul>${contents.join('')}</ul></nav>\n` : ''
  return `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n${nav}<main>\n${body}</main>\n`
}

function plainText(tokens: readonly Token[]): string {
  return tokens
    .map((token) => ('tokens' in token && token.tokens ? plainText(token.tokens) : (token as Tokens.Text).raw))
    .join('')
}

/** GitHub's way: lower case, words joined by hyphens, a number on the second of a name. */
function uniqueSlug(text: string, seen: Map<string, number>): string {
  const slug = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-')
  const count = seen.get(slug) ?? 0
  seen.set(slug, count + 1)
  return count === 0 ? slug : `${slug}-${count}`
}
