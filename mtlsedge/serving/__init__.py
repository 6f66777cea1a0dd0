"""What runs? A process that serves, alone or as one of several, and the parent of those.

=============  ===============================================================================
``listening``  which addresses are bound, and what becomes of them when a reload changes them
``lasting``    what a process keeps through all its configurations, and hands to its workers
``share``      how much of a limit is one worker's
``process``    one process serving one configuration after another, until it is to stop
``crew``       the parent of workers: what they are told
``worker``     one of them: what it does when it is told
=============  ===============================================================================
"""
