import { JSDOM } from 'jsdom'

// Reads a style sheet and starts a worker thread from files of its own.
export default () =>
  new Response(new JSDOM('<p>Hello <b>there</b></p>').window.document.querySelector('b')?.textContent)
