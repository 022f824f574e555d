import pulumi
import pulumi_ampersand_sdk as ampersand

found = ampersand.get_projects_output().projects

pulumi.export("projects", found.apply(lambda projects: [project.name for project in projects]))
