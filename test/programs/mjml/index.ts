import mjml2html from 'mjml'

export default async () => {
  const { html } = await mjml2html(
    '<mjml><mj-body><mj-section><mj-column><mj-text>Hello</mj-text></mj-column></mj-section></mj-body></mjml>',
  )
  return new Response(html, { headers: { 'content-type': 'text/html' } })
}
