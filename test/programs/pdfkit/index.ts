import PDFDocument from 'pdfkit'

// Reads the metrics of its fonts next to its own modules.
export default () =>
  new Promise<Response>((resolve) => {
    const document = new PDFDocument()
    const chunks: Buffer[] = []
    document.on('data', (chunk: Buffer) => chunks.push(chunk))
    document.on('end', () =>
      resolve(new Response(Buffer.concat(chunks), { headers: { 'content-type': 'application/pdf' } })),
    )
    document.font('Times-Roman').text('Hello')
    document.end()
  })
