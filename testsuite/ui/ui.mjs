// What must be seen and done in the Temporal UI. testsuite/ui/run prepares the lab and calls this.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { boxJSON, boxText, open, term, type, typeJSON, until } from './browser.mjs'

const { VARVE_UI: base, VARVE_RUN: run, VARVE_TRIGGER: trigger, VARVE_LAB: lab, VARVE_PICTURES: pictures } = process.env
const namespace = `${base}/namespaces/default`
const { page, elsewhere, close } = await open(base, process.env.VARVE_CHROMIUM)

let passed = 0
let failed = 0

/** Runs one check. A failure is told with the place it was seen at, and the next check goes on. */
async function check(name, body) {
  try {
    await body()
    passed++
    console.log(`ok   ${name}`)
  } catch (error) {
    failed++
    const shot = path.join(lab, '..', `failed-${failed}.png`)
    await page.screenshot({ path: shot }).catch(() => {})
    console.log(`FAIL ${name}\n     at ${page.url()}, ${shot}\n     ${(error.stack ?? String(error)).replaceAll('\n', '\n     ')}`)
  }
}

/** Keeps what the window shows; a picture that outgrew the docs' limit is a failure. */
async function picture(name) {
  const file = path.join(pictures, `ui-${name}.png`)
  await page.mouse.move(0, 0)
  await page.waitForTimeout(600) // the UI fades buttons in
  await page.screenshot({ path: file })
  assert.ok(statSync(file).size < 200_000, `${file} has ${statSync(file).size} bytes`)
}

const varve = (...args) => execFileSync(trigger, args, { cwd: lab, encoding: 'utf8' })
const varveJSON = (...args) => JSON.parse(varve(...args, '--json'))
const tableExists = (name) => spawnSync(trigger, ['table', 'show', name], { cwd: lab }).status === 0
const completed = (id) => until(`${id} completes`, () => {
  const { status } = varveJSON('status', id)
  assert.ok(['running', 'completed'].includes(status), `it is ${status}`)
  return status === 'completed'
})

/** Opens a run's page by its workflow id and waits until the UI has its history. */
async function openRun(id) {
  await page.goto(`${namespace}/workflows/${encodeURIComponent(id)}`)
  await page.waitForURL(/\/timeline/)
  await page.getByRole('heading', { name: 'Timeline' }).waitFor()
}

/** The rows of the list, each with its cells' texts by column. They are as shown: a status is in capitals. */
async function listed(table) {
  const grid = page.getByRole('table', { name: table })
  await grid.waitFor()
  const columns = (await grid.locator('thead th').allInnerTexts()).map((c) => c.trim())
  const rows = []
  for (const row of await grid.locator('tbody tr').all()) {
    const cells = (await row.locator('td').allInnerTexts()).map((c) => c.trim())
    rows.push(Object.fromEntries(columns.map((c, i) => [c, cells[i]])))
  }
  return rows
}

/** Drags a column's edge to the left, so that a picture has room for the next ones. */
async function narrow(column) {
  const edge = await page.getByRole('separator', { name: `Resize ${column} column` }).boundingBox()
  const [x, y] = [edge.x + edge.width / 2, edge.y + edge.height / 2]
  await page.mouse.move(x, y)
  await page.mouse.down()
  await page.mouse.move(x - 200, y, { steps: 5 })
  await page.mouse.up()
}

await page.goto(`${namespace}/workflows`)
await page.getByRole('button', { name: 'Collapse Navigation' }).click() // it takes a fifth of the pictures' width
await completed(run)
const tables = varveJSON('status', run).tables.map((t) => t.table).sort()
const tableOf = (workflow) => workflow.split('/').at(-1)

await check('the list shows the run and a child for each table', async () => {
  await page.goto(`${namespace}/workflows`)
  const rows = await until('all are listed', async () => {
    const rows = await listed('Workflows')
    return rows.length === tables.length + 1 && rows
  }, 30)
  const parents = rows.filter((r) => r.Type === 'RunPipeline')
  assert.deepEqual(parents.map((r) => [r['Workflow ID'], r.Status]), [[run, 'COMPLETED']])
  const children = rows.filter((r) => r.Type === 'BuildTable')
  assert.deepEqual(children.map((r) => tableOf(r['Workflow ID'])).sort(), tables)
  assert.ok(children.every((r) => r.Status === 'COMPLETED'), JSON.stringify(children))
  assert.ok(tables.includes('silver.flights') && tables.includes('gold.carrier_daily'), tables.join())
  await narrow('Run ID')
  await picture('workflows')
})

await check('the list is searched by pipeline, layer and table', async () => {
  for (const [query, wanted] of [
    ["VarveTable = 'silver.flights'", ['silver.flights']],
    ["VarveLayer = 'gold' AND VarvePipeline = 'flights'", tables.filter((t) => t.startsWith('gold.'))],
    ["VarvePipeline = 'flights' AND WorkflowType = 'RunPipeline'", [run]],
  ]) {
    await page.goto(`${namespace}/workflows?query=${encodeURIComponent(query)}`)
    await until(query, async () => {
      assert.deepEqual((await listed('Workflows')).map((r) => tableOf(r['Workflow ID'])).sort(), wanted)
      return true
    }, 20)
  }
})

await check("the run's page shows its input, its result and its timeline", async () => {
  await openRun(run)
  await page.getByRole('tab', { name: `Relationships ${tables.length}` }).waitFor()
  assert.equal(await term(page, 'Workflow Type'), 'RunPipeline')
  assert.equal(await term(page, 'Task Queue'), 'varve')
  assert.deepEqual(await boxJSON(page, 'Input'), { pipeline: 'flights' })
  assert.match(await boxText(page, 'Result'), /"table": "bronze\.flights"[\s\S]*"state": "built"/)
  assert.equal(await page.getByRole('button', { name: 'Event Compile: Completed' }).count(), 1)
  assert.equal(await page.getByRole('button', { name: 'Event BuildTable: Completed' }).count(), tables.length)
  await picture('run')
})

await check("the run's children are its relationships, and lead to their own pages", async () => {
  await page.getByRole('tab', { name: 'Relationships' }).click()
  const graph = page.getByRole('group', { name: 'Zoomable workflow graph' })
  await graph.waitFor()
  for (const table of tables) {
    const link = page.getByRole('link', { name: new RegExp(`^flights/[0-9a-f-]+/${table.replace('.', '\\.')}$`) })
    await link.waitFor()
    assert.equal(await link.count(), 1, table)
  }
  await picture('relationships')
  await page.getByRole('link', { name: /\/silver\.flights$/ }).click()
  await page.waitForURL(/silver\.flights/)
  await page.getByRole('heading', { name: 'silver.flights' }).waitFor()
  assert.equal(await term(page, 'Workflow Type'), 'BuildTable')
  await until('the result is shown', async () => (await boxText(page, 'Result')).includes('"table": "silver.flights"'), 20)
})

await check('the memo says what was done, and the query how far it is', async () => {
  await openRun(run)
  await page.getByRole('tab', { name: 'Memo' }).click()
  const memo = await boxJSON(page, 'Memo')
  assert.equal(memo.fields.summary, `${tables.length} tables built`)
  assert.deepEqual(memo.fields.tables.map((line) => line.split(':')[0]).sort(), tables)
  await picture('memo')
  await page.getByRole('tab', { name: 'Queries' }).click()
  await page.getByRole('button', { name: 'progress' }).waitFor()
  await page.getByRole('button', { name: 'Run Query' }).click()
  await until('the query answers', async () => /"stage": "finished"/.test(await boxText(page, 'Query Result')), 20)
})

await check('the schedule that apply made is there, as the file declares it', async () => {
  await page.goto(`${namespace}/schedules`)
  const rows = await until('it is listed', async () => {
    const rows = await listed('Schedules')
    return rows.length > 0 && rows
  }, 30)
  assert.deepEqual(rows.map((r) => [r['Schedule ID'], r.Status, r['Workflow Type']]), [['varve-flights', 'PAUSED', 'RunPipeline']])
  assert.match(rows[0]['Schedule Spec'], /America\/New_York/)
  await page.getByRole('link', { name: 'varve-flights' }).click()
  assert.deepEqual(await boxJSON(page, 'Workflow Input'), { pipeline: 'flights' })
  for (const [name, value] of [['Timezone', 'America/New_York'], ['Jitter', '30s'], ['Overlap Policy', 'Skip'], ['Catchup Window Policy', '1 hour']]) {
    assert.equal(await term(page, name), value)
  }
  await picture('schedule')
})

/** Fills the form Start Workflow, from the list's button on, and submits it. */
async function startByForm(id, input, shot) {
  await page.goto(`${namespace}/workflows`)
  await page.getByRole('link', { name: 'Start Workflow', exact: true }).click()
  await page.getByRole('heading', { name: 'Start Workflow' }).waitFor()
  await type(page, { 'Workflow ID': id, 'Task Queue': 'varve', 'Workflow Type': 'RunPipeline' })
  await typeJSON(page, 'Data', input)
  await page.getByText('Task Queue is Active').waitFor()
  if (shot) await picture(shot)
  await page.getByRole('button', { name: 'Start Workflow' }).click()
  await page.getByRole('link', { name: 'Workflow started successfully' }).waitFor()
}

/** The rows of a folder of CSV files with headers, none of which has a line break in a value. */
function csvRows(dir) {
  return readdirSync(dir).filter((f) => f.endsWith('.csv'))
    .reduce((n, f) => n + readFileSync(path.join(dir, f), 'utf8').trimEnd().split('\n').length - 1, 0)
}

await check('a run started in the form, by typing its input, loads its table', async () => {
  assert.ok(!tableExists('gold.transactions'), 'gold.transactions is there before the run')
  await startByForm('transactions-by-hand', '{"pipeline": "transactions"}', 'start')
  await completed('transactions-by-hand')
  await openRun('transactions-by-hand')
  await page.getByRole('status').getByText('Completed', { exact: true }).waitFor()
  await page.getByRole('tab', { name: 'Relationships 1' }).waitFor()
  assert.deepEqual(await boxJSON(page, 'Input'), { pipeline: 'transactions' })
  assert.match(await boxText(page, 'Result'), /"table": "gold\.transactions"/)
  const wanted = csvRows(path.join(lab, 'pipelines/data/transactions'))
  assert.ok(wanted > 0)
  assert.equal(varveJSON('table', 'show', 'gold.transactions').rows, wanted)
  await picture('started')
})

await check('a mistyped pipeline fails at once, and the page says what was meant', async () => {
  await startByForm('mistyped', '{"pipeline": "transaction"}')
  await openRun('mistyped')
  await page.getByRole('status').getByText('Failed', { exact: true }).waitFor()
  await until('the reason is shown', async () => /did you mean \\?"transactions\\?"/.test(await boxText(page, 'Result')), 20)
})

await check('a schedule is made in the form, by typing its input', async () => {
  await page.goto(`${namespace}/schedules`)
  await page.getByRole('link', { name: 'Create Schedule', exact: true }).click()
  await page.getByRole('heading', { name: 'Create Schedule' }).waitFor()
  await type(page, { 'Schedule Name': 'profiles-by-hand', 'Workflow Type': 'RunPipeline', 'Workflow ID': 'user_profiles', 'Task Queue': 'varve' })
  await picture('schedule-form')
  await typeJSON(page, 'JSON Data', '{"pipeline": "user_profiles"}')
  await page.getByRole('button', { name: 'Cron String' }).click()
  await page.getByRole('option', { name: 'Interval' }).click()
  const interval = page.getByRole('spinbutton', { name: 'Time Interval' })
  await interval.pressSequentially('6')
  await interval.locator('xpath=following::select[1]').selectOption('hour(s)')
  await interval.scrollIntoViewIfNeeded()
  await picture('schedule-form-interval')
  await page.getByRole('button', { name: 'Create Schedule' }).click()
  await page.waitForURL(/\/schedules$/)
  const rows = await until('both schedules are listed', async () => {
    const rows = await listed('Schedules')
    return rows.length === 2 && rows
  }, 30)
  const made = rows.find((r) => r['Schedule ID'] === 'profiles-by-hand')
  assert.deepEqual([made?.Status, made?.['Workflow Type']], ['RUNNING', 'RunPipeline'])
  assert.match(made['Schedule Spec'], /Every 6 hour/)
  await picture('schedules')
})

await check('triggered from its page, it runs and loads its table', async () => {
  assert.ok(!tableExists('gold.user_profiles'), 'gold.user_profiles is there before the run')
  await page.getByRole('link', { name: 'profiles-by-hand' }).click()
  assert.deepEqual(await boxJSON(page, 'Workflow Input'), { pipeline: 'user_profiles' })
  await page.getByRole('button', { name: 'Schedule Actions' }).click()
  await page.getByRole('menuitem', { name: 'Trigger' }).click()
  await page.getByRole('dialog', { name: 'Trigger Immediately' }).getByRole('button', { name: 'Trigger' }).click()
  const { id } = await until('the schedule starts a run', () => varveJSON('status').find((r) => r.id.startsWith('user_profiles-')))
  await completed(id)
  await page.reload()
  await page.getByRole('tab', { name: /1 Recent Run/ }).click()
  await page.getByRole('link', { name: id }).waitFor()
  await picture('schedule-ran')
  await page.getByRole('link', { name: id }).click()
  await page.getByRole('status').getByText('Completed', { exact: true }).waitFor()
  const [result] = varveJSON('status', id).tables
  const { rows } = varveJSON('table', 'show', 'gold.user_profiles')
  assert.ok(rows > 0)
  assert.equal(rows, result.inserted)
})

await check('parameters and tables are typed in the form too', async () => {
  const input = { pipeline: 'user_profiles', parameters: { date: '2023-10-28' }, tables: ['gold.user_profiles'] }
  const before = varveJSON('table', 'show', 'gold.user_profiles').rows
  await startByForm('profiles-next-day', JSON.stringify(input))
  await completed('profiles-next-day')
  const [result] = varveJSON('status', 'profiles-next-day').tables
  assert.ok(result.inserted + result.updated > 0, 'the next day changed nothing')
  assert.equal(varveJSON('table', 'show', 'gold.user_profiles').rows, before + result.inserted)
})

await check('apply leaves alone the schedule made by hand', async () => {
  assert.deepEqual(varveJSON('apply', '--check') ?? [], [])
})

await check('the UI asked no other address', async () => assert.deepEqual(elsewhere, []))

await close()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
