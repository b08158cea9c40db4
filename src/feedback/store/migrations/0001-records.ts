/** The records: prompts, completions, tasks, labellers, displays, judgements. All of them only ever grow. */
import { type Kysely, type SchemaModule, sql } from 'kysely';
import { refuseChanges } from './triggers.ts';

type Db = Kysely<unknown>;

export async function up(db: Db): Promise<void> {
  await contents(db.schema);
  await labellers(db.schema);
  await judgements(db.schema);
  for (const table of [
    'projects',
    'prompts',
    'completions',
    'tasks',
    'task_completions',
    'labellers',
    'labeller_events',
    'displays',
    'judgements',
  ]) {
    await refuseChanges(db, table);
  }
}

const strict = sql`strict`;

async function contents(schema: SchemaModule): Promise<void> {
  await schema
    .createTable('projects')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await schema
    .createTable('prompts')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('project', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('content', 'text', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await schema.createIndex('prompts_project').on('prompts').columns(['project', 'time']).execute();
  await schema
    .createTable('completions')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('prompt', 'text', (c) => c.notNull().references('prompts.id'))
    .addColumn('content', 'text', (c) => c.notNull())
    .addColumn('origin', 'text', (c) => c.notNull().check(sql`origin in ('model', 'demonstration', 'imported')`))
    .addColumn('token_ids', 'text')
    .addColumn('logprobs', 'text')
    .addColumn('model', 'text')
    .addColumn('sampling', 'text')
    .addColumn('seed', 'integer')
    .addColumn('extra', 'text', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await schema.createIndex('completions_prompt').on('completions').columns(['prompt', 'origin']).execute();
  await schema
    .createTable('tasks')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('project', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('prompt', 'text', (c) => c.notNull().references('prompts.id'))
    .addColumn('key', 'text', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await schema.createIndex('tasks_project').on('tasks').columns(['project', 'time', 'id']).execute();
  await schema
    .createTable('task_completions')
    .addColumn('task', 'text', (c) => c.notNull().references('tasks.id'))
    .addColumn('position', 'integer', (c) => c.notNull().check(sql`position >= 0`))
    .addColumn('completion', 'text', (c) => c.notNull().references('completions.id'))
    .addPrimaryKeyConstraint('task_completions_key', ['task', 'position'])
    .modifyEnd(strict)
    .execute();
}

async function labellers(schema: SchemaModule): Promise<void> {
  await schema
    .createTable('labellers')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('kind', 'text', (c) => c.notNull().check(sql`kind in ('person', 'ai', 'simulated')`))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('profile', 'text', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .addUniqueConstraint('labellers_name', ['kind', 'name'])
    .modifyEnd(strict)
    .execute();
  await schema
    .createTable('labeller_events')
    .addColumn('labeller', 'text', (c) => c.notNull().references('labellers.id'))
    .addColumn('number', 'integer', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull().check(sql`kind in ('withdrawn', 'reinstated')`))
    .addColumn('reason', 'text', (c) => c.notNull())
    .addColumn('time', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('labeller_events_key', ['labeller', 'number'])
    .modifyEnd(strict)
    .execute();
}

async function judgements(schema: SchemaModule): Promise<void> {
  await schema
    .createTable('displays')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('task', 'text', (c) => c.notNull().references('tasks.id'))
    .addColumn('labeller', 'text', (c) => c.notNull().references('labellers.id'))
    .addColumn('shown_order', 'text', (c) => c.notNull())
    .addColumn('guideline_version', 'text')
    .addColumn('client_version', 'text')
    .addColumn('time', 'text', (c) => c.notNull())
    .modifyEnd(strict)
    .execute();
  await schema.createIndex('displays_task').on('displays').columns(['task', 'labeller', 'time']).execute();
  await schema
    .createTable('judgements')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('task', 'text', (c) => c.notNull().references('tasks.id'))
    .addColumn('labeller', 'text', (c) => c.notNull().references('labellers.id'))
    .addColumn('client_key', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull().check(sql`kind in ('ranking', 'skip', 'retraction')`))
    .addColumn('ranks', 'text', (c) => c.check(sql`(ranks is null) = (kind <> 'ranking')`))
    .addColumn('none_good', 'integer', (c) => c.notNull().check(sql`none_good in (0, 1)`))
    .addColumn('strength', 'integer', (c) => c.check(sql`strength between 1 and 4`))
    .addColumn('margin', 'real')
    .addColumn('flags', 'text', (c) => c.notNull())
    .addColumn('reason', 'text')
    .addColumn('displayed_order', 'text')
    .addColumn('latency_ms', 'integer', (c) => c.check(sql`latency_ms >= 0`))
    .addColumn('guideline_version', 'text')
    .addColumn('client_version', 'text')
    .addColumn('supersedes', 'text')
    .addColumn('time', 'text', (c) => c.notNull())
    // A retried submit is found by its key, and one judgement is replaced by one other at most, of the same task and labeller.
    .addUniqueConstraint('judgements_client_key', ['labeller', 'client_key'])
    .addUniqueConstraint('judgements_supersedes', ['supersedes'])
    .addUniqueConstraint('judgements_chain', ['id', 'task', 'labeller'])
    .addForeignKeyConstraint('judgements_superseded', ['supersedes', 'task', 'labeller'], 'judgements', [
      'id',
      'task',
      'labeller',
    ])
    .modifyEnd(strict)
    .execute();
  // A labeller's first judgement of a task is one; those after it supersede. So exactly one of them stands.
  await schema
    .createIndex('judgements_first')
    .unique()
    .on('judgements')
    .columns(['task', 'labeller'])
    .where(sql.ref('supersedes'), 'is', null)
    .execute();
  await schema.createIndex('judgements_task').on('judgements').columns(['task', 'time']).execute();
}
