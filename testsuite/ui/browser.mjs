// How the UI's pages are read and its forms are filled, whatever the pages say.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

/** A page of the UI at base, and the list of addresses elsewhere that it asked for (which it does not get). */
export async function open(base, executablePath) {
  const browser = await chromium.launch({ executablePath, args: flags })
  const context = await browser.newContext({
    viewport: { width: 1280, height: 960 }, locale: 'en-US', timezoneId: 'UTC', colorScheme: 'light', reducedMotion: 'reduce',
  })
  const elsewhere = []
  await context.route(
    (url) => url.protocol.startsWith('http') && url.origin !== new URL(base).origin,
    (route) => {
      elsewhere.push(route.request().url())
      return route.abort()
    },
  )
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  return { page, elsewhere, close: () => browser.close() }
}

/** Polls until probe gives something true, which it returns; the probe's last error is the reason of the failure. */
export async function until(what, probe, seconds = 60) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    let reason = ''
    try {
      const value = await probe()
      if (value) return value
    } catch (error) {
      reason = `: ${error.message}`
    }
    if (Date.now() > deadline) assert.fail(`${what}: not within ${seconds} s${reason}`)
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

/** The text of one of the UI's code boxes. It is an editor, which says nothing by its value. */
export const boxText = (page, name) => page.getByRole('textbox', { name, exact: true }).innerText()

/** The JSON in one of the UI's code boxes, once it is there. */
export function boxJSON(page, name) {
  return until(`JSON in the box ${name}`, async () => JSON.parse(await boxText(page, name)), 30)
}

/** Types into the fields with these labels, key by key as a person would. */
export async function type(page, fields) {
  for (const [label, text] of Object.entries(fields)) {
    await page.getByRole('textbox', { name: label, exact: true }).pressSequentially(text)
  }
}

/** Types JSON into a code box and leaves it: the UI then formats it, and the page below moves. */
export async function typeJSON(page, name, text) {
  const box = page.getByRole('textbox', { name, exact: true })
  await box.click()
  await page.keyboard.type(text)
  await page.locator('main h1').click()
  await until(`${name} is laid out`, async () => (await box.innerText()).includes('\n'), 10)
  assert.deepEqual(await boxJSON(page, name), JSON.parse(text))
}

/** The value beside a term, such as Task Queue in a run's head. */
export async function term(page, name) {
  const dt = page.locator('main dt').filter({ hasText: new RegExp(`^\\s*${name}\\s*$`) }).first()
  return (await dt.locator('xpath=following-sibling::dd[1]').innerText()).trim()
}
